//! `frontdesk audit`: seal the audit log by hand, verify it, print its heads.

use clap::Subcommand;
use frontdesk_clinic::audit::{self, KeptHead, Verdict};
use frontdesk_clinic::{Database, TenantId};

use super::{CommandError, operator};
use crate::config::Config;

/// An unsealed row older than this means that no sealer runs.
const SEALER_IS_LATE_S: i64 = 60;

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Give every committed event its place in the chain now; a running worker does so by itself
    Seal,
    /// Recompute the chain and name the first row that was changed, deleted, moved or inserted; exit code 1 if there is any
    Verify {
        /// One clinic [default: all]
        #[arg(long)]
        tenant: Option<String>,
        /// A head that `frontdesk audit head` printed earlier; the chain must contain it. Needs --tenant
        #[arg(long, value_name = "HEAD", requires = "tenant")]
        head: Option<KeptHead>,
    },
    /// Print each chain's head, to be kept outside of the database
    Head {
        /// One clinic [default: all]
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// Runs one of them.
///
/// # Errors
/// The database fails, or a chain is broken.
pub(super) async fn run(command: &AuditCommand, config: &Config) -> Result<(), CommandError> {
    let database = operator::database(config)?;
    let done = match command {
        AuditCommand::Seal => seal(&database).await,
        AuditCommand::Verify { tenant, head } => verify(&database, tenant.as_deref(), head.as_ref()).await,
        AuditCommand::Head { tenant } => heads(&database, tenant.as_deref()).await,
    };
    database.close().await;
    done
}

async fn seal(database: &Database) -> Result<(), CommandError> {
    let rows = audit::seal_all(database).await.map_err(CommandError::new)?;
    println!("{rows} rows sealed");
    Ok(())
}

async fn verify(database: &Database, tenant: Option<&str>, kept: Option<&KeptHead>) -> Result<(), CommandError> {
    let mut broken = Vec::new();
    for tenant in operator::tenants(database, tenant).await? {
        let verdict = audit::verify(database, &tenant, kept).await.map_err(CommandError::new)?;
        println!("{}", describe(&tenant, &verdict));
        broken.extend(verdict.fault.map(|fault| format!("{tenant}: {fault}")));
    }
    if broken.is_empty() { Ok(()) } else { Err(CommandError::new(format!("the audit log is broken\n{}", broken.join("\n")))) }
}

/// One line a clinic: how far the chain is sound, its head, what waits.
fn describe(tenant: &TenantId, verdict: &Verdict) -> String {
    let head = verdict.head.map_or_else(|| "empty".to_owned(), |head| format!("head {head}"));
    let age_s = verdict.tail.oldest_age.map_or(0, |age| age.num_seconds());
    let tail = match verdict.tail.count {
        0 => "none waits for its seal".to_owned(),
        count if age_s > SEALER_IS_LATE_S => format!("{count} unsealed, the oldest for {age_s} s: does a worker run?"),
        count => format!("{count} unsealed, the oldest for {age_s} s"),
    };
    let retired = if verdict.retired > 0 { format!(" after {} that were retired", verdict.retired) } else { String::new() };
    format!("{tenant}: {} rows verified{retired}, {head}, {tail}", verdict.verified)
}

async fn heads(database: &Database, tenant: Option<&str>) -> Result<(), CommandError> {
    for tenant in operator::tenants(database, tenant).await? {
        match audit::head(database, &tenant).await.map_err(CommandError::new)? {
            Some(head) => println!("{tenant} {head}"),
            None => println!("{tenant} empty"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use frontdesk_clinic::audit::{Head, Tail};

    use super::*;

    #[test]
    fn a_verdict_is_one_line() {
        let tenant = TenantId::new("demo").expect("a short name");
        let tail = |count, age_s: i64| Tail { count, oldest_age: (count > 0).then(|| TimeDelta::seconds(age_s)) };
        let verdict = |tail| Verdict { verified: 3, retired: 0, head: Some(Head { sequence: 3, hash: [1; 32] }), tail, fault: None };
        let line = describe(&tenant, &verdict(tail(0, 0)));
        assert_eq!(line, format!("demo: 3 rows verified, head 3:{}, none waits for its seal", "01".repeat(32)));
        assert!(describe(&tenant, &verdict(tail(2, 60))).ends_with("2 unsealed, the oldest for 60 s"));
        assert!(describe(&tenant, &verdict(tail(2, 61))).ends_with("2 unsealed, the oldest for 61 s: does a worker run?"));
        assert!(
            describe(&tenant, &Verdict { verified: 0, retired: 0, head: None, tail: tail(0, 0), fault: None })
                .contains("0 rows verified, empty")
        );
        assert!(
            describe(&tenant, &Verdict { retired: 7, ..verdict(tail(0, 0)) })
                .starts_with("demo: 3 rows verified after 7 that were retired, ")
        );
    }
}
