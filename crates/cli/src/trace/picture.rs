//! The picture of a call tree: a row per depth, each frame as wide as the gas that it used.
#![allow(clippy::float_arithmetic, reason = "a picture is drawn in fractions of points")]

use super::tree::{Frame, Traced, grouped};
use std::{collections::BTreeMap, fmt::Write};

/// Widths and heights in points.
const WIDTH: f64 = 1600.0;
const MARGIN: f64 = 16.0;
const TOP: f64 = 56.0;
const ROW: f64 = 40.0;
const BAR: f64 = 36.0;
/// No frame is narrower, as long as there is room.
const LEAST: f64 = 28.0;
/// About the width of a letter.
const LETTER: f64 = 6.4;

/// Machines that have a colour of their own, and the colours for others.
const KNOWN: [(&str, &str); 3] = [("evm", "#4878a8"), ("svm", "#8a5fa8"), ("move", "#c27a2c")];
const OTHERS: [&str; 4] = ["#4c9f70", "#a8884c", "#4c9a9f", "#7a7f87"];

/// Where a frame is drawn.
struct Place {
    frame: usize,
    depth: usize,
    left: f64,
    width: f64,
}

/// The picture, as SVG.
pub(super) fn svg(traced: &Traced) -> String {
    let colors = colors(&traced.frames);
    let places = places(&traced.frames);
    let rows = places.iter().map(|place| place.depth + 1).max().unwrap_or(0);
    let height = TOP + rows as f64 * ROW + 48.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<defs><pattern id=\"undone\" width=\"8\" \
         height=\"8\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect \
         width=\"8\" height=\"8\" fill=\"#d1495b\" fill-opacity=\"0.18\"/><rect width=\"3\" \
         height=\"8\" fill=\"#d1495b\" fill-opacity=\"0.65\"/></pattern></defs>\n<rect \
         width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n<text x=\"{MARGIN}\" y=\"28\" \
         font-size=\"16\" fill=\"#222\">{}</text>\n",
        escaped(&traced.title())
    );
    for place in &places {
        if let Some(frame) = traced.frames.get(place.frame) {
            draw(&mut svg, frame, place, colors.get(frame.machine.as_str()).copied());
        }
    }
    legend(&mut svg, &colors, height - 28.0);
    svg.push_str("</svg>\n");
    svg
}

/// A colour per machine, those without one of their own in the order in which they come.
fn colors(frames: &[Frame]) -> BTreeMap<&str, &'static str> {
    let mut colors = BTreeMap::new();
    let mut others = OTHERS.iter().cycle();
    for frame in frames {
        let machine = frame.machine.as_str();
        if !colors.contains_key(machine) {
            let known = KNOWN.iter().find(|(known, _)| *known == machine);
            let color = known.map(|(_, color)| *color).or_else(|| others.next().copied());
            colors.insert(machine, color.unwrap_or("#7a7f87"));
        }
    }
    colors
}

/// Where the frames go: calls stand under their caller, in order.
fn places(frames: &[Frame]) -> Vec<Place> {
    let mut places = Vec::with_capacity(frames.len());
    let mut rest = vec![Place { frame: 0, depth: 0, left: MARGIN, width: WIDTH - 2.0 * MARGIN }];
    while let Some(place) = rest.pop() {
        let Some(frame) = frames.get(place.frame) else { continue };
        let mut left = place.left;
        for (call, width) in frame.calls.iter().zip(widths(frame, frames, place.width)) {
            rest.push(Place { frame: *call, depth: place.depth + 1, left, width });
            left += width;
        }
        places.push(place);
    }
    places
}

/// The widths of a frame's calls. Calls within the machine count by their gas. Other
/// machines' gas is another unit: they share what is left of the caller's.
fn widths(frame: &Frame, frames: &[Frame], width: f64) -> Vec<f64> {
    let calls: Vec<&Frame> = frame.calls.iter().filter_map(|call| frames.get(*call)).collect();
    let own = |call: &Frame| call.machine == frame.machine;
    let gas = |own_ones: bool| -> f64 {
        calls.iter().filter(|call| own(call) == own_ones).map(|call| call.gas_used as f64).sum()
    };
    let whole = (frame.gas_used as f64).max(gas(true)).max(1.0);
    let left = 0.95 * (whole - gas(true)).max(0.0);
    let share = |call: &&Frame| {
        let share = match own(call) {
            // The machine does not say.
            true if gas(true) < 1.0 => 0.95 / calls.len() as f64,
            true => call.gas_used as f64 / whole,
            false => left / whole * (call.gas_used as f64 / gas(false).max(1.0)),
        };
        (share * width).max(LEAST)
    };
    let widths: Vec<f64> = calls.iter().map(share).collect();
    let sum: f64 = widths.iter().sum();
    let fit = if sum > width { width / sum } else { 1.0 };
    widths.into_iter().map(|share| share * fit).collect()
}

fn draw(svg: &mut String, frame: &Frame, place: &Place, color: Option<&str>) {
    let Place { depth, left, width, .. } = *place;
    let (top, width) = (TOP + depth as f64 * ROW, (width - 1.0).max(0.5));
    let to = frame.to.as_deref().map(|to| frame.name(to, true)).unwrap_or_default();
    let mut title = format!(
        "{} {}\n{} → {to}\ngas {} of {}\n{} events, {} changes\n{}",
        frame.machine,
        frame.kind,
        frame.name(&frame.from, true),
        grouped(frame.gas_used),
        grouped(frame.gas),
        frame.events,
        frame.changes,
        frame.status,
    );
    if !frame.value.is_zero() {
        let _ = write!(title, "\nvalue {}", frame.value);
    }
    if frame.undone {
        title.push_str("\nundone");
    }
    let (color, opacity) = (color.unwrap_or("#7a7f87"), if frame.undone { 0.45 } else { 0.92 });
    // What the kernel carries from machine to machine has a strong edge.
    let edge = if frame.hop && depth > 0 { ("#222", 1.6) } else { ("white", 0.6) };
    let _ = write!(
        svg,
        "<g><title>{}</title><rect x=\"{left:.2}\" y=\"{top:.1}\" width=\"{width:.2}\" \
         height=\"{BAR}\" rx=\"3\" fill=\"{color}\" fill-opacity=\"{opacity}\" stroke=\"{}\" \
         stroke-width=\"{}\"/>",
        escaped(&title),
        edge.0,
        edge.1
    );
    if frame.undone {
        let _ = write!(
            svg,
            "<rect x=\"{left:.2}\" y=\"{top:.1}\" width=\"{width:.2}\" height=\"{BAR}\" rx=\"3\" \
             fill=\"url(#undone)\" stroke=\"#d1495b\"/>"
        );
    }
    let short = frame.to.as_deref().map(|to| frame.name(to, false)).unwrap_or_default();
    let gas = match frame.gas {
        0 => String::new(),
        _ => format!(", gas {}", grouped(frame.gas_used)),
    };
    let lines = [
        (15.0, format!("{} {}", frame.kind, short)),
        (29.0, format!("{} {}{gas}", frame.machine, frame.status)),
    ];
    let ink = if frame.undone { "#222" } else { "white" };
    for (down, line) in lines {
        let room = ((width - 8.0) / LETTER).max(0.0) as usize;
        if room >= 3 {
            let line: String = match line.chars().count() > room {
                true => line.chars().take(room - 1).chain(['…']).collect(),
                false => line,
            };
            let _ = write!(
                svg,
                "<text x=\"{:.2}\" y=\"{:.1}\" fill=\"{ink}\" font-size=\"11\">{}</text>",
                left + 5.0,
                top + down,
                escaped(&line)
            );
        }
    }
    svg.push_str("</g>\n");
}

fn legend(svg: &mut String, colors: &BTreeMap<&str, &'static str>, top: f64) {
    let undone = ("undone: it failed, or a frame around it did", "url(#undone)");
    let entries = colors.iter().map(|(machine, color)| (*machine, *color)).chain([undone]);
    let mut left = MARGIN;
    for (words, fill) in entries {
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"14\" height=\"14\" rx=\"2\" \
             fill=\"{fill}\" stroke=\"#999\" stroke-width=\"0.4\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             fill=\"#222\">{}</text>",
            left + 20.0,
            top + 12.0,
            escaped(words)
        );
        left += 50.0 + words.chars().count() as f64 * (LETTER + 0.4);
    }
}

/// Text in XML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // What XML has no word for.
            '\n' | '\t' => escaped.push(letter),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Traced, tests::answer};
    use super::*;

    #[test]
    fn each_frame_is_drawn_within_its_caller() {
        let traced = Traced::parse(&answer(3)).unwrap();
        let places = places(&traced.frames);
        assert_eq!(places.len(), 4);
        for pair in places.windows(2) {
            assert!(pair[1].left >= pair[0].left);
            assert!(pair[1].left + pair[1].width <= pair[0].left + pair[0].width + 0.01);
        }
        let svg = svg(&traced);
        assert_eq!(svg.matches("<g>").count(), 4);
        assert!(svg.contains("url(#undone)") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn what_contracts_say_is_text() {
        assert_eq!(escaped("<a&b>\u{1}\""), "&lt;a&amp;b&gt;\u{fffd}&quot;");
    }
}
