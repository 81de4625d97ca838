//! Offers and answers, by example and by property.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

/// What an elastic trunk sends.
const TRUNK: &str = "v=0\r\no=root 1234 5678 IN IP4 203.0.113.5\r\ns=Media Gateway\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n\
m=audio 17890 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:150\r\na=sendrecv\r\n";

fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn local() -> LocalMedia {
    LocalMedia::new(at("192.0.2.1:4000"))
}

fn answer_to(text: &str) -> Negotiated {
    answer(&parse(text), &local()).unwrap()
}

#[test]
fn a_trunks_offer_is_answered_with_one_codec_and_events() {
    let Negotiated { session, remote } = answer_to(TRUNK);
    assert_eq!(
        remote,
        RemoteMedia {
            address: Some(at("203.0.113.5:17890")),
            codec: Codec::Pcmu,
            payload_type: 0,
            telephone_event: Some(101),
            direction: Direction::SendRecv,
            ptime_ms: 20,
        }
    );
    let text = session.to_string();
    assert!(text.contains("m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"), "{text}");
    assert!(text.contains("a=ptime:20\r\na=sendrecv\r\n") && text.contains("c=IN IP4 192.0.2.1\r\n"), "{text}");
    assert_eq!(parse(&text), session);
}

#[test]
fn the_offerers_order_decides_and_names_beat_numbers() {
    let remote = answer_to(&TRUNK.replace("RTP/AVP 0 8 101", "RTP/AVP 9 8 0 101")).remote;
    assert_eq!((remote.codec, remote.payload_type), (Codec::Pcma, 8));
    // A static number under another name is that other codec; a dynamic one may be PCMU.
    let offer = TRUNK
        .replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 PCMU/16000")
        .replace("RTP/AVP 0 8 101", "RTP/AVP 0 97 101")
        .replace("a=rtpmap:8 PCMA/8000", "a=rtpmap:97 pcmu/8000/1");
    let remote = answer_to(&offer).remote;
    assert_eq!((remote.codec, remote.payload_type), (Codec::Pcmu, 97));
    let without_names = "v=0\r\no=- 1 1 IN IP4 203.0.113.5\r\ns=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\nm=audio 9000 RTP/AVP 18 8\r\n";
    let remote = answer_to(without_names).remote;
    assert_eq!((remote.codec, remote.telephone_event), (Codec::Pcma, None));
}

#[test]
fn hold_is_answered_by_its_mirror_image() {
    let held = TRUNK.replace("c=IN IP4 203.0.113.5", "c=IN IP4 0.0.0.0");
    let session_level = TRUNK.replace("a=sendrecv\r\n", "").replace("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n");
    for (offer, direction, address) in [
        (TRUNK.replace("sendrecv", "sendonly"), Direction::RecvOnly, true),
        (TRUNK.replace("sendrecv", "recvonly"), Direction::SendOnly, true),
        (TRUNK.replace("sendrecv", "inactive"), Direction::Inactive, true),
        (held.clone(), Direction::RecvOnly, false),
        (held.replace("sendrecv", "inactive"), Direction::Inactive, false),
        (held.replace("sendrecv", "recvonly"), Direction::Inactive, false),
        (session_level, Direction::RecvOnly, true),
        (TRUNK.replace("a=sendrecv\r\n", ""), Direction::SendRecv, true),
    ] {
        let Negotiated { session, remote } = answer_to(&offer);
        assert_eq!((remote.direction, session.media[0].direction), (direction, Some(direction)), "{offer}");
        assert_eq!(remote.address.is_some(), address, "{offer}");
    }
}

#[test]
fn every_line_has_its_place_in_the_answer() {
    let offer = TRUNK.replace("m=audio", "m=video 5000 RTP/AVP 31\r\nm=audio 0 RTP/AVP 0\r\nm=audio 6000 RTP/SAVP 0\r\nm=audio")
        + "m=image 7000 udptl t38\r\nm=audio 8000 RTP/AVP 0\r\n";
    let session = answer_to(&offer).session;
    let ports: Vec<u16> = session.media.iter().map(|media| media.port).collect();
    assert_eq!(ports, [0, 0, 0, 4000, 0, 0]);
    assert_eq!(session.media[4].formats, ["t38"]);
    assert_eq!(parse(&session.to_string()), session);
}

#[test]
fn nothing_in_common_is_told_as_488() {
    for offer in [
        TRUNK.replace("RTP/AVP 0 8 101", "RTP/AVP 9 101"),
        TRUNK.replace("RTP/AVP", "RTP/SAVP"),
        TRUNK.replace("m=audio 17890", "m=audio 0"),
        TRUNK.replace("m=audio", "m=video"),
        TRUNK.split("m=").next().unwrap().to_owned(),
    ] {
        assert_eq!(answer(&parse(&offer), &local()).unwrap_err().status(), 488, "{offer}");
    }
}

#[test]
fn an_answer_to_our_offer_is_read() {
    let ours = offer(&local());
    assert_eq!(parse(&ours.to_string()), ours);
    let theirs = LocalMedia { codecs: vec![Codec::Pcma], telephone_event: false, ..LocalMedia::new(at("203.0.113.5:9000")) };
    let remote = accept_answer(&local(), &answer(&ours, &theirs).unwrap().session).unwrap();
    assert_eq!((remote.codec, remote.payload_type, remote.telephone_event), (Codec::Pcma, 8, None));
    assert_eq!(remote.address, Some(at("203.0.113.5:9000")));
    let declined = parse(&ours.to_string().replace("m=audio 4000", "m=audio 0"));
    assert_eq!(accept_answer(&local(), &declined), Err(AnswerError::NoCommonCodec));
    let empty = SessionDescription { media: Vec::new(), ..declined };
    assert_eq!(accept_answer(&local(), &empty), Err(AnswerError::Mismatch));
}

#[test]
fn a_session_is_repeated_with_its_codec_and_the_next_version() {
    let first = answer_to(&TRUNK.replace("RTP/AVP 0 8 101", "RTP/AVP 8 0 101")).session;
    let again = reanswer(&first, &parse(TRUNK)).unwrap();
    assert_eq!(again.session.origin.version, first.origin.version + 1);
    assert_eq!(again.session.origin.session_id, first.origin.session_id);
    assert_eq!(again.session.media[0].port, 4000);
    assert_eq!(again.remote.codec, Codec::Pcma, "the codec in use is kept");
    let without = reanswer(&first, &parse(&TRUNK.replace("RTP/AVP 0 8 101", "RTP/AVP 0 101"))).unwrap();
    assert_eq!(without.remote.codec, Codec::Pcmu, "unless it is offered no more");
}

#[test]
fn names_and_ipv6_are_addresses_too() {
    let remote = answer_to(&TRUNK.replace("c=IN IP4 203.0.113.5", "c=IN IP4 media.example.com")).remote;
    assert_eq!(remote.address, None, "not resolved: media goes where it comes from");
    let remote = answer_to(&TRUNK.replace("c=IN IP4 203.0.113.5", "c=IN IP6 2001:db8::5")).remote;
    assert_eq!(remote.address, Some(at("[2001:db8::5]:17890")));
    let own = TRUNK.replace("m=audio 17890 RTP/AVP 0 8 101\r\n", "m=audio 17890 RTP/AVP 0 8 101\r\nc=IN IP4 203.0.113.77/127\r\n");
    assert_eq!(answer_to(&own).remote.address, Some(at("203.0.113.77:17890")));
}

#[test]
fn what_is_no_description_is_refused_with_its_line() {
    for (body, error) in [
        ("", SdpError::Version),
        ("v=1\r\n", SdpError::Version),
        ("v=0\r\n", SdpError::NoOrigin),
        ("v=0\r\nhello\r\n", SdpError::Line { line: 2 }),
        ("v=0\r\nabc=1\r\n", SdpError::Line { line: 2 }),
        ("v=0\r\no=- 1 1 IN IP4\r\n", SdpError::Field { field: 'o', line: 2 }),
        ("v=0\r\no=- 1 1 IN IP4 h\r\nc=IN IP4\r\n", SdpError::Field { field: 'c', line: 3 }),
        ("v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 99999 RTP/AVP 0\r\n", SdpError::Field { field: 'm', line: 3 }),
        ("v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 1 RTP/AVP\r\n", SdpError::Field { field: 'm', line: 3 }),
    ] {
        assert_eq!(SessionDescription::parse(body.as_bytes()), Err(error), "{body}");
    }
    assert_eq!(SessionDescription::parse(&[0xff]), Err(SdpError::NotText));
    let many = format!("v=0\r\no=- 1 1 IN IP4 h\r\n{}", "m=audio 1 RTP/AVP 0\r\n".repeat(33));
    assert_eq!(SessionDescription::parse(many.as_bytes()), Err(SdpError::TooLarge));
    let long = format!("v=0\r\n{}", "b=AS:1\r\n".repeat(600));
    assert_eq!(SessionDescription::parse(long.as_bytes()), Err(SdpError::TooLarge));
}

/// Text that is like a session description, more or less.
fn near_sdp() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("o=- 1 2 IN IP4 203.0.113.5".to_owned()),
        Just("c=IN IP4 0.0.0.0".to_owned()),
        Just("a=rtpmap:0 PCMU/8000".to_owned()),
        Just("a=sendonly".to_owned()),
        "m=(audio|video|x) [0-9]{0,6}(/2)? RTP/S?AVP( [0-9]{0,4}){0,6}",
        "a=(rtpmap|fmtp|ptime|crypto):[0-9]{0,4} ?[a-zA-Z/0-9-]{0,30}",
        "[a-zA-Z=]{0,3}[ -~]{0,40}",
    ];
    prop::collection::vec(line, 0..20).prop_map(|lines| format!("v=0\r\n{}", lines.join("\r\n")))
}

#[test]
fn a_payload_type_that_is_not_written_as_one_is_not_accepted() {
    for format in ["00", "+0", "08"] {
        let offer = parse(&format!("v=0\r\no=- 1 2 IN IP4 203.0.113.5\r\nm=audio 4000 RTP/AVP {format}"));
        assert!(answer(&offer, &local()).is_err(), "{format}");
    }
}

proptest! {
    #[test]
    fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..1500)) {
        let _ = SessionDescription::parse(&body);
    }

    /// Whatever parses prints as the same description, and is answered line by line or refused.
    #[test]
    fn what_parses_prints_and_negotiates(text in near_sdp()) {
        if let Ok(session) = SessionDescription::parse(text.as_bytes()) {
            prop_assert_eq!(&parse(&session.to_string()), &session);
            if let Ok(negotiated) = answer(&session, &local()) {
                let media = &negotiated.session.media;
                prop_assert_eq!(media.len(), session.media.len());
                prop_assert_eq!(media.iter().filter(|media| media.port != 0).count(), 1);
                for (ours, theirs) in media.iter().zip(&session.media) {
                    prop_assert_eq!(&ours.kind, &theirs.kind);
                    prop_assert!(ours.port == 0 || theirs.port != 0);
                    prop_assert!(ours.formats.iter().all(|format| theirs.formats.contains(format)));
                }
            }
        }
    }
}
