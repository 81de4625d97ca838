//! `frontdesk sip`: the bridge from SIP to LiveKit.

use std::time::Duration;

use frontdesk_bridge::rules::Rules;
use frontdesk_bridge::{Bridge, BridgeConfig, LiveKitServer};
use frontdesk_livekit::Credentials;
use ipnet::IpNet;

use super::{CommandError, livekit_credentials, none_missing, shutdown_on_signals, start_logging};
use crate::config::Config;

/// Takes calls from trunks until told to stop.
pub(super) async fn run(config: Config) -> Result<(), CommandError> {
    start_logging(&config)?;
    let mut missing = Vec::new();
    let credentials = livekit_credentials(&config, &mut missing);
    none_missing(missing)?;
    let Some(credentials) = credentials else { return Ok(()) };
    let rules = Rules::load(&config.sip.rules_dir).map_err(CommandError::new)?;
    let shutdown = shutdown_on_signals()?;
    let bridge = Bridge::start(bridge_config(&config, rules, credentials)?).await.map_err(CommandError::new)?;
    tracing::info!(address = %bridge.local_addr(), "taking calls over SIP");
    bridge.run_until(shutdown, Duration::from_secs(config.worker.drain_timeout_s)).await;
    tracing::info!("stopped");
    Ok(())
}

fn bridge_config(config: &Config, rules: Rules, credentials: Credentials) -> Result<BridgeConfig, CommandError> {
    let livekit = LiveKitServer { url: config.livekit.url.clone(), credentials };
    let mut bridge = BridgeConfig::new(config.sip.listen, rules, livekit);
    bridge.advertised_address = config.sip.advertised_address;
    bridge.rtp_ports = config.sip.rtp_port_min..=config.sip.rtp_port_max;
    bridge.max_calls = config.sip.max_calls;
    let network = |text: &String| {
        let invalid = || {
            CommandError::new(format!("sip.allowed_networks (FRONTDESK_SIP_ALLOWED_NETWORKS): {text} is no network such as 203.0.113.0/24"))
        };
        text.parse::<IpNet>().map_err(|_| invalid())
    };
    bridge.allowed_networks = config.sip.allowed_networks.iter().map(network).collect::<Result<_, _>>()?;
    Ok(bridge)
}
