//! What is read from the server's offers: which audio tracks they send.

/// Participant's and track's ids of every audio section that sends.
pub(super) fn audio_tracks(offer: &str) -> Vec<(String, String)> {
    // Each media section begins with its `m=` line; what comes before the first is the session's.
    offer.split("\nm=").skip(1).filter_map(section_track).collect()
}

fn section_track(section: &str) -> Option<(String, String)> {
    let mut media = section.lines().next()?.split_whitespace();
    let sends = section.lines().any(|line| matches!(line.trim_end(), "a=sendonly" | "a=sendrecv"));
    if media.next() != Some("audio") || media.next() == Some("0") || !sends {
        return None;
    }
    let msid = section.lines().find_map(|line| line.trim_end().strip_prefix("a=msid:"))?;
    let (stream_id, track_id) = msid.split_once(' ')?;
    let (participant, track) = track_ids(stream_id, track_id);
    Some((participant.to_owned(), track.to_owned()))
}

/// LiveKit packs the ids of participant and track into the stream's (`PA_…|TR_…`).
pub(super) fn track_ids<'a>(stream_id: &'a str, track_id: &'a str) -> (&'a str, &'a str) {
    match stream_id.split_once('|') {
        Some((participant, track)) if track.starts_with("TR_") => (participant, track),
        Some((participant, _)) => (participant, track_id),
        None => (stream_id, track_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_packed_stream() {
        assert_eq!(track_ids("PA_1|TR_2", "TR_2"), ("PA_1", "TR_2"));
        assert_eq!(track_ids("PA_1", "TR_2"), ("PA_1", "TR_2"));
        assert_eq!(track_ids("PA_1|x", "TR_2"), ("PA_1", "TR_2"));
    }

    #[test]
    fn only_sending_audio_sections_count() {
        let offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sendrecv\r\n\
                     m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=msid:PA_1|TR_1 TR_1\r\na=sendonly\r\n\
                     m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=msid:PA_1|TR_2 TR_2\r\na=inactive\r\n\
                     m=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=msid:PA_1|TR_3 TR_3\r\na=sendonly\r\n\
                     m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=msid:PA_1|TR_4 TR_4\r\na=sendonly\r\n\
                     m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=msid:PA_2 TR_5\r\na=sendrecv\r\n";
        let found = audio_tracks(offer);
        assert_eq!(found, [("PA_1".into(), "TR_1".into()), ("PA_2".into(), "TR_5".into())]);
        assert!(audio_tracks("").is_empty() && audio_tracks("m=audio").is_empty());
    }
}
