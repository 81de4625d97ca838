//! Errors of providers, classed by what can be done about them.

use std::time::Duration;

use frontdesk_conversation::Failure;

/// Why a provider's stream failed. No variant holds what a caller or the agent said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The service could not be reached. Check the URL and the network.
    #[error("{provider} cannot be reached: {reason}")]
    Connect {
        /// The provider's name.
        provider: &'static str,
        /// The cause, from the operating system or TLS library.
        reason: String,
    },
    /// The service refused the key. Check the provider's API key.
    #[error("{provider} refused the API key")]
    Unauthorized {
        /// The provider's name.
        provider: &'static str,
    },
    /// The service limits requests; try again later.
    #[error("{provider} limits requests{}", retry_after.map(|d| format!(", retry after {} s", d.as_secs())).unwrap_or_default())]
    RateLimited {
        /// The provider's name.
        provider: &'static str,
        /// When the service says to try again.
        retry_after: Option<Duration>,
    },
    /// No answer in time.
    #[error("{provider} gave no {stage} within {limit_ms} ms")]
    Timeout {
        /// The provider's name.
        provider: &'static str,
        /// `connection`, `first byte` or `further data`.
        stage: &'static str,
        /// The time-out.
        limit_ms: u64,
    },
    /// The service rejected the request; trying again cannot help.
    #[error("{provider} rejected the request: {reason}")]
    Rejected {
        /// The provider's name.
        provider: &'static str,
        /// A short reason without personal data.
        reason: String,
    },
    /// The service broke off or reported a fault of its own.
    #[error("{provider} broke off: {reason}")]
    Broken {
        /// The provider's name.
        provider: &'static str,
        /// A short reason without personal data.
        reason: String,
    },
}

impl ProviderError {
    /// Whether the same request may succeed when tried again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Unauthorized { .. } | Self::Rejected { .. })
    }

    /// The provider's name.
    #[must_use]
    pub const fn provider(&self) -> &'static str {
        match self {
            Self::Connect { provider, .. }
            | Self::Unauthorized { provider }
            | Self::RateLimited { provider, .. }
            | Self::Timeout { provider, .. }
            | Self::Rejected { provider, .. }
            | Self::Broken { provider, .. } => provider,
        }
    }

    /// A short word for metrics and records.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Unauthorized { .. } => "unauthorized",
            Self::RateLimited { .. } => "rate_limited",
            Self::Timeout { .. } => "timeout",
            Self::Rejected { .. } => "rejected",
            Self::Broken { .. } => "broken",
        }
    }
}

impl From<&ProviderError> for Failure {
    fn from(error: &ProviderError) -> Self {
        Self { retryable: error.is_retryable(), kind: error.kind().into() }
    }
}
