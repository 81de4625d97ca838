//! E-mails: to the clinic's addresses, or to the patient; carried by a mail server (SMTP) or by Gmail's API.

mod gmail;
mod letter;
mod smtp;

use async_trait::async_trait;

use crate::channel::{Channel, Receipt, SendError};
use crate::google::GoogleAccount;
use crate::http::ClientError;
use crate::notice::Notice;
use crate::secret::Secret;

use gmail::Gmail;
use letter::Letters;
pub use letter::is_mailbox;
use smtp::Smtp;

/// From whom and to whom.
#[derive(Debug, Clone)]
pub struct EmailOptions {
    /// `Lakeside Clinic <desk@lakeside.example>`.
    pub from: String,
    /// Who reads it.
    pub to: Readers,
}

/// Who reads an e-mail.
#[derive(Debug, Clone)]
pub enum Readers {
    /// The clinic, at these addresses.
    Clinic(Vec<String>),
    /// The patient, at the notice's recipient.
    Patient,
}

/// Who carries it.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// A mail server: `smtps://user:password@host`, or `smtp://user:password@host?tls=required` for STARTTLS.
    Smtp(Secret),
    /// Gmail's API, as the mailbox of the sender.
    Gmail {
        /// `https://gmail.googleapis.com/gmail/v1`.
        base_url: String,
        /// With domain-wide delegation for the scopes `gmail.send` and `gmail.metadata`.
        account: GoogleAccount,
    },
}

/// Sends e-mails.
#[derive(Clone)]
pub struct EmailChannel {
    letters: Letters,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Smtp(Smtp),
    Gmail(Gmail),
}

impl EmailChannel {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// A URL or an address is none.
    pub fn new(carrier: Carrier, options: &EmailOptions) -> Result<Self, ClientError> {
        let letters = Letters::new(options)?;
        let way = match carrier {
            Carrier::Smtp(url) => Way::Smtp(Smtp::new(&url)?),
            Carrier::Gmail { base_url, account } => Way::Gmail(Gmail::new(&base_url, &account, letters.sender())?),
        };
        Ok(Self { letters, way })
    }
}

#[async_trait]
impl Channel for EmailChannel {
    async fn send(&self, notice: &Notice) -> Result<Receipt, SendError> {
        let message = self.letters.compose(notice)?;
        match &self.way {
            Way::Smtp(smtp) => smtp.send(message).await,
            Way::Gmail(gmail) => gmail.send(&message, &notice.delivery).await,
        }
    }
}
