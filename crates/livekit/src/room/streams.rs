//! Text streams: header, chunks, trailer. Sans-I/O on both ways.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use livekit_protocol as proto;
use proto::data_packet::Value;
use proto::data_stream::{Chunk, CompressionType, Header, TextHeader, Trailer, header::ContentHeader};

use super::event::TextMessage;

/// Bytes of one chunk: what every LiveKit client sends and takes.
const CHUNK_BYTES: usize = 15_000;
/// Bytes of one incoming text.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Incoming streams that may be open at once.
const STREAMS_MAX: usize = 32;
/// Bytes of all open streams together.
const TOTAL_BYTES_MAX: usize = 1024 * 1024;
/// A stream without news for this long is forgotten.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Splits a text into the packets of one stream.
pub(super) fn packets(stream_id: &str, topic: &str, attributes: &BTreeMap<String, String>, text: &str) -> impl Iterator<Item = Value> {
    let header = Header {
        stream_id: stream_id.to_owned(),
        timestamp: unix_ms(),
        topic: topic.to_owned(),
        mime_type: "text/plain".to_owned(),
        total_length: Some(text.len() as u64),
        attributes: attributes.clone().into_iter().collect(),
        content_header: Some(ContentHeader::TextHeader(TextHeader::default())),
        ..Header::default()
    };
    let chunks: Vec<Value> = split(text)
        .enumerate()
        .map(|(index, part)| {
            Value::StreamChunk(Chunk {
                stream_id: stream_id.to_owned(),
                chunk_index: index as u64,
                content: part.as_bytes().to_vec(),
                ..Chunk::default()
            })
        })
        .collect();
    let trailer = Trailer { stream_id: stream_id.to_owned(), ..Trailer::default() };
    std::iter::once(Value::StreamHeader(header)).chain(chunks).chain(std::iter::once(Value::StreamTrailer(trailer)))
}

/// Parts of at most [`CHUNK_BYTES`], cut between characters.
fn split(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let mut end = text.len().min(CHUNK_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (part, rest) = text.split_at(end);
        text = rest;
        Some(part)
    })
}

fn unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[derive(Debug)]
struct Open {
    message: TextMessage,
    content: Vec<u8>,
    next_chunk: u64,
    touched: Duration,
}

/// Puts incoming streams together, within bounds; what exceeds them is dropped and counted.
#[derive(Debug, Default)]
pub(super) struct TextStreams {
    /// By stream id alone: of a stream on another's behalf, the server leaves that one's identity on the header only.
    open: HashMap<String, Open>,
    bytes: usize,
    pub(super) dropped: u64,
}

impl TextStreams {
    /// Takes a packet of a stream; returns the text when it is complete.
    pub(super) fn take(&mut self, now: Duration, sender: &str, value: Value) -> Option<TextMessage> {
        match value {
            Value::StreamHeader(header) => self.header(now, sender, header),
            Value::StreamChunk(chunk) => {
                self.chunk(now, &chunk);
                None
            }
            Value::StreamTrailer(trailer) => self.trailer(trailer),
            _ => None,
        }
    }

    fn header(&mut self, now: Duration, sender: &str, header: Header) -> Option<TextMessage> {
        if !matches!(header.content_header, Some(ContentHeader::TextHeader(_))) {
            return None;
        }
        let too_long = header.total_length.is_some_and(|length| length > TEXT_BYTES_MAX as u64);
        if too_long || header.compression != CompressionType::None as i32 {
            self.dropped += 1;
            return None;
        }
        let message = TextMessage {
            sender: sender.to_owned(),
            topic: header.topic,
            stream_id: header.stream_id.clone(),
            attributes: header.attributes.into_iter().collect(),
            text: String::new(),
        };
        // A short text may come whole, in its header.
        if let Some(content) = header.inline_content {
            return self.finish(Open { message, content, next_chunk: 0, touched: now });
        }
        self.make_room(now);
        let open = Open { message, content: Vec::new(), next_chunk: 0, touched: now };
        if let Some(previous) = self.open.insert(header.stream_id, open) {
            self.bytes -= previous.content.len();
            self.dropped += 1;
        }
        None
    }

    fn chunk(&mut self, now: Duration, chunk: &Chunk) {
        let Some(open) = self.open.get_mut(&chunk.stream_id) else { return };
        let size = chunk.content.len();
        let fits = open.content.len() + size <= TEXT_BYTES_MAX && self.bytes + size <= TOTAL_BYTES_MAX;
        // The channel keeps order, so a chunk out of turn means one that was lost.
        if open.next_chunk != chunk.chunk_index || !fits {
            self.forget(&chunk.stream_id);
            return;
        }
        open.content.extend_from_slice(&chunk.content);
        open.next_chunk += 1;
        open.touched = now;
        self.bytes += size;
    }

    fn trailer(&mut self, trailer: Trailer) -> Option<TextMessage> {
        let mut open = self.open.remove(&trailer.stream_id)?;
        self.bytes -= open.content.len();
        open.message.attributes.extend(trailer.attributes);
        self.finish(open)
    }

    fn finish(&mut self, open: Open) -> Option<TextMessage> {
        let mut message = open.message;
        match String::from_utf8(open.content) {
            Ok(text) if text.len() <= TEXT_BYTES_MAX => {
                message.text = text;
                Some(message)
            }
            _ => {
                self.dropped += 1;
                None
            }
        }
    }

    fn make_room(&mut self, now: Duration) {
        let idle: Vec<_> =
            self.open.iter().filter(|(_, open)| now.saturating_sub(open.touched) > IDLE_MAX).map(|(key, _)| key.clone()).collect();
        for key in idle {
            self.forget(&key);
        }
        if self.open.len() >= STREAMS_MAX {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.touched).map(|(key, _)| key.clone());
            if let Some(key) = oldest {
                self.forget(&key);
            }
        }
    }

    fn forget(&mut self, stream_id: &str) {
        if let Some(open) = self.open.remove(stream_id) {
            self.bytes -= open.content.len();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(streams: &mut TextStreams, id: &str, text: &str) -> Option<TextMessage> {
        let attributes = BTreeMap::from([("lk.segment_id".to_string(), "s1".to_string())]);
        packets(id, "lk.chat", &attributes, text).filter_map(|value| streams.take(Duration::ZERO, "me", value)).last()
    }

    #[test]
    fn a_text_survives_its_chunks() {
        let mut streams = TextStreams::default();
        let text = "ä".repeat(20_000);
        let message = whole(&mut streams, "1", &text).unwrap();
        assert_eq!((message.text, message.topic.as_str()), (text, "lk.chat"));
        assert_eq!(message.attributes["lk.segment_id"], "s1");
        assert_eq!((streams.bytes, streams.open.len()), (0, 0));
        assert_eq!(whole(&mut streams, "2", "").unwrap().text, "");
    }

    #[test]
    fn too_long_a_text_is_dropped() {
        let mut streams = TextStreams::default();
        assert!(whole(&mut streams, "1", &"x".repeat(TEXT_BYTES_MAX + 1)).is_none());
        assert_eq!((streams.bytes, streams.dropped), (0, 1));
    }

    #[test]
    fn a_lost_chunk_loses_the_text_only() {
        let mut streams = TextStreams::default();
        let text = "x".repeat(3 * CHUNK_BYTES);
        for (index, value) in packets("1", "t", &BTreeMap::new(), &text).enumerate() {
            if index != 2 {
                assert!(streams.take(Duration::ZERO, "me", value).is_none());
            }
        }
        assert_eq!((streams.bytes, streams.open.len(), streams.dropped), (0, 0, 1));
    }

    #[test]
    fn open_streams_are_bounded_and_forgotten() {
        let mut streams = TextStreams::default();
        for id in 0..100 {
            let header = packets(&id.to_string(), "t", &BTreeMap::new(), "x").next().unwrap();
            streams.take(Duration::from_secs(id), "me", header);
        }
        assert!(streams.open.len() <= STREAMS_MAX);
    }

    proptest! {
        /// Packets of several streams in any order, repeated or missing: the books stay right and bounded.
        #[test]
        fn any_packets(picks in prop::collection::vec((0usize..4, 0usize..5, 0u64..100), 0..200)) {
            let text = "é".repeat(CHUNK_BYTES);
            let all: Vec<Vec<Value>> =
                (0..4).map(|id| packets(&id.to_string(), "t", &BTreeMap::new(), &text).collect()).collect();
            let mut streams = TextStreams::default();
            let mut now = 0;
            for (stream, part, wait) in picks {
                now += wait;
                if let Some(message) = streams.take(Duration::from_secs(now), "me", all[stream][part.min(all[stream].len() - 1)].clone()) {
                    prop_assert!(text.starts_with(&message.text));
                }
                let held: usize = streams.open.values().map(|open| open.content.len()).sum();
                prop_assert_eq!(held, streams.bytes);
                prop_assert!(held <= TOTAL_BYTES_MAX);
            }
        }
    }
}
