//! The `frontdesk` program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match frontdesk::commands::run(frontdesk::cli::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("frontdesk: {}", error.to_string().trim_end().replace('\n', "\nfrontdesk: "));
            ExitCode::FAILURE
        }
    }
}
