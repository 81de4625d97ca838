//! `frontdesk outbox`: what is told to others, by hand.

use std::sync::Arc;

use comfy_table::{Table, presets};
use frontdesk_clinic::outbox::NoticeStatus;
use frontdesk_clinic::{ClinicStore, Database, Keyring, TenantDirectory};

use super::{CommandError, keyring, none_missing, operator, required, shutdown_on_signals, start_logging};
use crate::cli::OutboxCommand;
use crate::config::Config;

/// What all of them work with.
struct Desk {
    tenants: TenantDirectory,
    database: Database,
    keys: Arc<Keyring>,
}

impl Desk {
    async fn open(config: &Config) -> Result<Self, CommandError> {
        let mut missing = Vec::new();
        if config.security.master_key_command.is_none() {
            required("security.master_key", config.security.master_key.as_ref(), &mut missing);
        }
        none_missing(missing)?;
        Ok(Self {
            tenants: TenantDirectory::load(&config.tenants.dir).map_err(CommandError::new)?,
            database: operator::database(config)?,
            keys: Arc::new(keyring(config).await?),
        })
    }

    /// One tenant's view, or all.
    fn stores(&self, name: Option<&str>) -> Result<Vec<ClinicStore>, CommandError> {
        if let Some(name) = name.filter(|name| self.tenants.get(name).is_none()) {
            return Err(CommandError::new(format!("{name}: no such clinic")));
        }
        let wanted = self.tenants.iter().filter(|tenant| name.is_none_or(|name| name == tenant.id.as_str()));
        Ok(wanted.map(|tenant| ClinicStore::new(self.database.clone(), Arc::clone(&self.keys), tenant.id.clone())).collect())
    }
}

pub(super) async fn run(config: &Config, command: OutboxCommand) -> Result<(), CommandError> {
    let desk = Desk::open(config).await?;
    let done = match command {
        OutboxCommand::Run { once } => send(config, &desk, once).await,
        OutboxCommand::List { tenant, status } => list(&desk, tenant.as_deref(), &status).await,
        OutboxCommand::Retry { tenant, ids } => retry(&desk, &tenant, &ids).await,
    };
    desk.database.close().await;
    done
}

async fn send(config: &Config, desk: &Desk, once: bool) -> Result<(), CommandError> {
    start_logging(config)?;
    let dispatcher = crate::notifications::dispatcher(config, &desk.tenants, &desk.database, Arc::clone(&desk.keys));
    let dispatcher = dispatcher.map_err(CommandError::new)?;
    if !once {
        dispatcher.run(shutdown_on_signals()?).await;
        return Ok(());
    }
    let (mut sent, mut postponed, mut dead) = (0, 0, 0);
    loop {
        let round = dispatcher.round().await.map_err(CommandError::new)?;
        if round.claimed == 0 {
            println!("{sent} sent, {postponed} to be tried again, {dead} given up");
            return Ok(());
        }
        (sent, postponed, dead) = (sent + round.sent, postponed + round.postponed, dead + round.dead);
    }
}

async fn list(desk: &Desk, tenant: Option<&str>, statuses: &[String]) -> Result<(), CommandError> {
    let statuses: Vec<NoticeStatus> = statuses.iter().filter_map(|name| NoticeStatus::named(name)).collect();
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["tenant", "id", "written", "event", "channel", "status", "attempts", "next attempt", "last error"]);
    let moment = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M:%S").to_string();
    for store in desk.stores(tenant)? {
        for one in store.notices(&statuses).await.map_err(CommandError::new)? {
            table.add_row([
                store.tenant().to_string(),
                one.id.to_string(),
                moment(one.created_at),
                one.event,
                one.channel,
                one.status.as_str().to_owned(),
                one.attempts.to_string(),
                one.next_attempt_at.map(moment).unwrap_or_default(),
                one.last_error.unwrap_or_default(),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}

async fn retry(desk: &Desk, tenant: &str, ids: &[uuid::Uuid]) -> Result<(), CommandError> {
    for store in desk.stores(Some(tenant))? {
        let count = store.retry_notices(ids).await.map_err(CommandError::new)?;
        println!("{count} to be tried again");
    }
    Ok(())
}
