//! The distributions as a picture: for each row, the share of turns that were answered within so much time.

use std::fmt::Write as _;

use super::rows::{ROWS, Row, Side};
use crate::common::clinics::Turns;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
/// Room for the axes' names: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (60.0, 36.0, 20.0, 50.0);
const STEP_MS: u64 = 500;

/// An SVG of the gaps in milliseconds of each row.
pub(super) fn svg(gaps: &[(Row, Vec<u64>)]) -> String {
    let longest = gaps.iter().flat_map(|(_, gaps)| gaps).copied().max().unwrap_or(STEP_MS);
    let end = longest.div_ceil(STEP_MS).max(1) * STEP_MS;
    let (left, top, right, bottom) = MARGIN;
    let x = |ms: u64| left + (WIDTH - left - right) * ms as f64 / end as f64;
    let y = |share: f64| HEIGHT - bottom - (HEIGHT - top - bottom) * share;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut put = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for ms in (0..=end).step_by(STEP_MS as usize) {
        let (x, low) = (x(ms), y(0.0));
        put(format!("<path d=\"M{x:.1} {:.1}V{low:.1}\" stroke=\"#ddd\"/>", y(1.0)));
        put(format!("<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.1} s</text>", low + 18.0, ms as f64 / 1000.0));
    }
    for percent in [0, 50, 95, 100] {
        let y = y(f64::from(percent) / 100.0);
        put(format!("<path d=\"M{left} {y:.1}H{:.1}\" stroke=\"#ddd\"/>", WIDTH - right));
        put(format!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>", left - 6.0, y + 4.0));
    }
    let caption = "caller's last sound to agent's first";
    put(format!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{caption}</text>", WIDTH / 2.0, HEIGHT - 10.0));
    for (place, (row, gaps)) in gaps.iter().enumerate() {
        let (colour, dash) = stroke(row);
        let mut sorted = gaps.clone();
        sorted.sort_unstable();
        let mut path = format!("M{:.1} {:.1}", x(0), y(0.0));
        for (rank, gap) in sorted.iter().enumerate() {
            let _infallible = write!(path, "H{:.1}V{:.1}", x(*gap), y((rank + 1) as f64 / sorted.len() as f64));
        }
        put(format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>"));
        let at = left + (WIDTH - left - right) * place as f64 / ROWS.len() as f64;
        put(format!("<path d=\"M{at:.1} 18h24\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>"));
        put(format!("<text x=\"{:.1}\" y=\"22\">{}</text>", at + 28.0, row.title));
    }
    text.push_str("</svg>\n");
    text
}

/// Colour by side, dashes by the way of ending turns.
const fn stroke(row: &Row) -> (&'static str, &'static str) {
    let colour = match row.side {
        Side::Peer => "#c2410c",
        Side::Ours => "#0f766e",
    };
    let dash = match row.turns {
        Turns::Model => "none",
        Turns::Vad => "5 4",
    };
    (colour, dash)
}
