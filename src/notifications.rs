//! Wires the tenants' `[notifications]` and the operator's credentials to channels, and these to the dispatcher; serves receipts.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_clinic::config::{EmailBy, PractitionerConfig};
use frontdesk_clinic::elsewhere::{CalendarSource, Elsewhere};
use frontdesk_clinic::outbox::{Channels, Dispatcher, DispatcherOptions, Receipts};
use frontdesk_clinic::{Database, Keyring, PractitionerId, Tenant, TenantDirectory, TenantId};
use frontdesk_notify::{
    CalendarChannel, CalendarOptions, Carrier, Channel, ChannelKind, ClientError, CsvChannel, EmailChannel, EmailOptions, FreeBusy,
    GoogleAccount, GoogleError, Readers, SheetsChannel, SheetsOptions, SmsChannel, SmsOptions, WebhookChannel,
};
use frontdesk_web::{TWILIO_STATUS_PATH, Web};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Notifications, Secret};

/// What is being sent when a worker stops is waited for this long; its lease would run out otherwise, which does no harm.
const STOP_LIMIT: Duration = Duration::from_secs(45);

/// Why notices cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum NotificationsError {
    /// A setting of a channel.
    #[error("notifications: {0}")]
    Client(#[from] ClientError),
    /// The service account.
    #[error("notifications.google_service_account (GOOGLE_SERVICE_ACCOUNT): {0}")]
    Google(#[from] GoogleError),
    /// Expected `tenant=secret`, comma-separated.
    #[error("notifications.webhook_secrets (FRONTDESK_WEBHOOK_SECRETS): entry {0} is not of the form tenant=secret")]
    WebhookSecrets(usize),
}

/// What is missing of a channel that is off.
const NOTHING: &str = "to be switched on";

/// Credentials as the channels take them.
fn handed(secret: &Secret) -> frontdesk_notify::Secret {
    frontdesk_notify::Secret::new(secret.expose())
}

/// The operator's part, read once for all tenants.
struct Means<'a> {
    settings: &'a Notifications,
    google: Option<GoogleAccount>,
    webhook_secrets: HashMap<&'a str, &'a str>,
}

impl<'a> Means<'a> {
    fn read(settings: &'a Notifications) -> Result<Self, NotificationsError> {
        let google = settings.google_service_account.as_ref().map(|json| GoogleAccount::from_json(&handed(json))).transpose()?;
        let mut webhook_secrets = HashMap::new();
        let entries = settings.webhook_secrets.as_ref().map(Secret::expose).unwrap_or_default();
        for (position, entry) in (1..).zip(entries.split(',').map(str::trim).filter(|entry| !entry.is_empty())) {
            let pair = entry.split_once('=').filter(|(tenant, secret)| !tenant.is_empty() && !secret.is_empty());
            let (tenant, secret) = pair.ok_or(NotificationsError::WebhookSecrets(position))?;
            webhook_secrets.insert(tenant, secret);
        }
        Ok(Self { settings, google, webhook_secrets })
    }

    /// A channel of e-mails; the variable that is missing for it, otherwise.
    fn email(&self, by: EmailBy, options: &EmailOptions) -> Result<Result<Arc<dyn Channel>, &'static str>, NotificationsError> {
        let carrier = match by {
            EmailBy::Smtp => self.settings.smtp_url.as_ref().map(|url| Carrier::Smtp(handed(url))).ok_or("SMTP_URL"),
            EmailBy::Gmail => {
                let gmail = |account| Carrier::Gmail { base_url: self.settings.gmail_base_url.clone(), account };
                self.google.clone().map(gmail).ok_or("GOOGLE_SERVICE_ACCOUNT")
            }
        };
        Ok(match carrier {
            Ok(carrier) => Ok(Arc::new(EmailChannel::new(carrier, options)?)),
            Err(missing) => Err(missing),
        })
    }

    /// The channel of a tenant; the variables that are missing for it, otherwise.
    fn channel(&self, tenant: &Tenant, kind: ChannelKind) -> Result<Result<Arc<dyn Channel>, &'static str>, NotificationsError> {
        let (notices, settings) = (&tenant.notifications, self.settings);
        let google = || self.google.clone().ok_or("GOOGLE_SERVICE_ACCOUNT");
        Ok(match kind {
            ChannelKind::Sms => match (&notices.sms, &settings.twilio_account_sid, &settings.twilio_auth_token) {
                (Some(sms), Some(account_sid), Some(token)) => Ok(Arc::new(SmsChannel::new(SmsOptions {
                    base_url: settings.twilio_base_url.clone(),
                    account_sid: account_sid.clone(),
                    auth_token: handed(token),
                    from: sms.from.clone(),
                })?)),
                _ => Err("TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
            },
            ChannelKind::Email => match &notices.email {
                Some(email) => self.email(email.by, &EmailOptions { from: email.from.clone(), to: Readers::Clinic(email.to.clone()) })?,
                None => Err(NOTHING),
            },
            ChannelKind::PatientEmail => match &notices.patient_email {
                Some(email) => self.email(email.by, &EmailOptions { from: email.from.clone(), to: Readers::Patient })?,
                None => Err(NOTHING),
            },
            ChannelKind::Webhook => match (&notices.webhook, self.webhook_secrets.get(tenant.id.as_str())) {
                (Some(webhook), Some(secret)) => Ok(Arc::new(WebhookChannel::new(&webhook.url, frontdesk_notify::Secret::new(*secret))?)),
                _ => Err("an entry of it in FRONTDESK_WEBHOOK_SECRETS"),
            },
            ChannelKind::GoogleCalendar => match (&notices.google_calendar, google()) {
                (Some(calendar), Ok(account)) => Ok(Arc::new(CalendarChannel::new(CalendarOptions {
                    base_url: settings.google_calendar_base_url.clone(),
                    calendar_id: calendar.calendar_id.clone(),
                    account,
                })?)),
                _ => Err("GOOGLE_SERVICE_ACCOUNT"),
            },
            ChannelKind::GoogleSheets => match (&notices.google_sheets, google()) {
                (Some(sheets), Ok(account)) => Ok(Arc::new(SheetsChannel::new(SheetsOptions {
                    base_url: settings.google_sheets_base_url.clone(),
                    spreadsheet_id: sheets.spreadsheet_id.clone(),
                    account,
                })?)),
                _ => Err("GOOGLE_SERVICE_ACCOUNT"),
            },
            ChannelKind::Csv => match &settings.export_dir {
                Some(folder) => Ok(Arc::new(CsvChannel::new(Path::new(folder).join(tenant.id.as_str())))),
                None => Err("FRONTDESK_EXPORT_DIR"),
            },
        })
    }
}

/// The channels that the tenants have switched on, and one line for each that the operator has given nothing for: what is due on it
/// is tried again until it is given up, and may be asked for again then.
///
/// # Errors
/// [`NotificationsError`], for a setting that is there and wrong.
pub fn channels(config: &Config, tenants: &TenantDirectory) -> Result<(Channels, Vec<String>), NotificationsError> {
    let means = Means::read(&config.notifications)?;
    let (mut all, mut missing) = (Channels::new(), Vec::new());
    for tenant in tenants.iter() {
        let of_tenant = all.entry(tenant.id.clone()).or_default();
        for (kind, _, _) in tenant.notifications.channels() {
            match means.channel(tenant, kind)? {
                Ok(channel) => drop(of_tenant.insert(kind, channel)),
                Err(what) => missing.push(format!("tenant {} has the channel {}, which needs {what}", tenant.id, kind.as_str())),
            }
        }
    }
    Ok((all, missing))
}

/// The practitioners' own calendars, of those clinics that name any. Without a service account they count as empty.
///
/// # Errors
/// [`NotificationsError`].
pub fn elsewhere(config: &Config, tenants: &TenantDirectory) -> Result<HashMap<TenantId, Arc<Elsewhere>>, NotificationsError> {
    let named = |tenant: &Tenant| -> HashMap<PractitionerId, String> {
        let calendar = |one: &PractitionerConfig| Some((one.id.clone(), one.busy_calendar.clone()?));
        tenant.practitioners.iter().filter_map(calendar).collect()
    };
    let wanted: Vec<_> =
        tenants.iter().map(|tenant| (tenant.id.clone(), named(tenant))).filter(|(_, calendars)| !calendars.is_empty()).collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let Some(account) = Means::read(&config.notifications)?.google else {
        tracing::warn!("practitioners have a busy_calendar, which needs GOOGLE_SERVICE_ACCOUNT; their calendars count as empty");
        return Ok(HashMap::new());
    };
    let source: Arc<dyn CalendarSource> = Arc::new(FreeBusy::new(&config.notifications.google_calendar_base_url, account)?);
    Ok(wanted.into_iter().map(|(id, calendars)| (id, Arc::new(Elsewhere::new(Arc::clone(&source), calendars)))).collect())
}

/// The dispatcher and the server for receipts, as far as they are wanted.
#[derive(Debug)]
pub struct Outside {
    dispatcher: Option<Dispatcher>,
    web: Option<(std::net::SocketAddr, Web)>,
}

/// Both at work.
#[derive(Debug)]
pub struct Running {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Outside {
    /// Reads the settings; reaches out to nobody yet.
    ///
    /// # Errors
    /// [`NotificationsError`].
    pub fn open(config: &Config, tenants: &TenantDirectory, database: &Database, keys: Arc<Keyring>) -> Result<Self, NotificationsError> {
        let settings = &config.notifications;
        let dispatcher = settings.dispatch.then(|| dispatcher(config, tenants, database, keys)).transpose()?;
        let web = match (settings.listen, &settings.public_url, &settings.twilio_auth_token) {
            (Some(address), Some(public_url), Some(token)) => {
                let receipts = Receipts::new(database.clone());
                Some((address, Web { receipts, twilio_token: handed(token), public_url: public_url.clone() }))
            }
            (Some(_), _, _) => {
                tracing::warn!("receipts are not taken: FRONTDESK_WEB_LISTEN needs FRONTDESK_PUBLIC_URL and TWILIO_AUTH_TOKEN");
                None
            }
            (None, _, _) => None,
        };
        Ok(Self { dispatcher, web })
    }

    /// Begins to work.
    #[must_use]
    pub fn start(self) -> Running {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        if let Some(dispatcher) = self.dispatcher {
            let stop = stop.clone();
            tasks.spawn(async move { dispatcher.run(stop).await });
        }
        if let Some((address, web)) = self.web {
            let stop = stop.clone();
            tasks.spawn(async move {
                if let Err(error) = frontdesk_web::serve(address, web, stop).await {
                    tracing::error!(%error, %address, "receipts cannot be taken; text messages will stay `sent`");
                }
            });
        }
        Running { tasks, stop }
    }
}

impl Running {
    /// Ends, bounded in time, when what is being sent has been noted.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(STOP_LIMIT, async { while self.tasks.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!("notices were still being sent; others will send them again under their keys");
        }
    }
}

/// The dispatcher of these tenants.
///
/// # Errors
/// [`NotificationsError`].
pub fn dispatcher(
    config: &Config,
    tenants: &TenantDirectory,
    database: &Database,
    keys: Arc<Keyring>,
) -> Result<Dispatcher, NotificationsError> {
    let (channels, missing) = channels(config, tenants)?;
    for line in missing {
        tracing::warn!("{line}");
    }
    let receipt_url = config.notifications.public_url.as_ref().map(|url| format!("{}{TWILIO_STATUS_PATH}", url.trim_end_matches('/')));
    Ok(Dispatcher::new(database.clone(), keys, channels, DispatcherOptions { receipt_url, ..DispatcherOptions::default() }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Sources, load};

    fn config(dir: &Path, env: &[(&str, &str)]) -> Config {
        let env: BTreeMap<String, String> = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        load(&Sources { file: None, dir: dir.into(), env, flags: Vec::new() }).unwrap()
    }

    /// The demo clinic with a channel of every kind of credentials.
    fn tenants(dir: &Path) -> TenantDirectory {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("agent-config/demo");
        let folder = dir.join("clinics/demo");
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["prompt.md", "insurance.toml"] {
            std::fs::copy(demo.join(file), folder.join(file)).unwrap();
        }
        let text = std::fs::read_to_string(demo.join("tenant.toml")).unwrap();
        let more = "\n[notifications.sms]\nfrom = \"+15550100\"\non = [\"appointment_booked\"]\n\
                    [notifications.email]\nfrom = \"a@b.example\"\nto = [\"a@b.example\"]\non = [\"message_taken\"]\n\
                    [notifications.patient_email]\nfrom = \"a@b.example\"\nby = \"gmail\"\non = [\"appointment_booked\"]\n\
                    [notifications.webhook]\nurl = \"https://b.example/x\"\non = [\"call_ended\"]\n";
        std::fs::write(folder.join("tenant.toml"), format!("{text}{more}")).unwrap();
        TenantDirectory::load(&dir.join("clinics")).unwrap()
    }

    #[test]
    fn what_the_operator_has_given_nothing_for_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let tenants = tenants(dir.path());
        let (channels, missing) = channels(&config(dir.path(), &[]), &tenants).unwrap();
        assert_eq!(channels.values().map(HashMap::len).sum::<usize>(), 0);
        let needed = ["TWILIO_AUTH_TOKEN", "SMTP_URL", "GOOGLE_SERVICE_ACCOUNT", "FRONTDESK_WEBHOOK_SECRETS", "FRONTDESK_EXPORT_DIR"];
        assert_eq!(missing.len(), needed.len(), "{missing:?}");
        for variable in needed {
            assert!(missing.iter().any(|line| line.contains(variable)), "{variable} in {missing:?}");
        }
        let given = [
            ("TWILIO_ACCOUNT_SID", "AC1"),
            ("TWILIO_AUTH_TOKEN", "token"),
            ("SMTP_URL", "smtps://user:hunter2@mail.example"),
            ("FRONTDESK_WEBHOOK_SECRETS", "other=x, demo=y"),
            ("FRONTDESK_EXPORT_DIR", "exports"),
        ];
        let (channels, missing) = super::channels(&config(dir.path(), &given), &tenants).unwrap();
        assert_eq!((channels.values().map(HashMap::len).sum::<usize>(), missing.len()), (4, 1));
        assert!(missing[0].contains("patient_email") && missing[0].contains("GOOGLE_SERVICE_ACCOUNT"), "{missing:?}");
    }

    #[test]
    fn what_is_there_and_wrong_is_refused_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let tenants = tenants(dir.path());
        for (variable, value, expected) in [
            ("FRONTDESK_WEBHOOK_SECRETS", "demo=y,hunter2", "entry 2"),
            ("SMTP_URL", "hunter2", "SMTP server"),
            ("GOOGLE_SERVICE_ACCOUNT", "hunter2", "GOOGLE_SERVICE_ACCOUNT"),
        ] {
            let Err(error) = channels(&config(dir.path(), &[(variable, value)]), &tenants) else { panic!("{variable}") };
            let error = error.to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }
}
