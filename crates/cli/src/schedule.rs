//! The picture of `polity run --schedule`: workers over time.
#![allow(clippy::float_arithmetic, reason = "a picture is drawn in fractions of points")]

use polity_engine::Observer;
use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Widths and heights in points.
const WIDTH: f64 = 1600.0;
const LEFT: f64 = 80.0;
const TOP: f64 = 60.0;
const ROW: f64 = 34.0;
const BAR: f64 = 24.0;

/// A run of a transaction.
#[derive(Clone, Copy)]
struct Attempt {
    worker: usize,
    transaction: usize,
    in_turn: bool,
    begin: Duration,
    end: Duration,
    waits_for: Option<usize>,
}

/// Writes down who runs what when.
pub(crate) struct Recorder {
    start: Instant,
    attempts: Mutex<Vec<Attempt>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), attempts: Mutex::default() }
    }

    fn with<T>(&self, with: impl FnOnce(&mut Vec<Attempt>) -> T) -> T {
        with(&mut self.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The picture, as SVG.
    pub(crate) fn svg(self, title: &str) -> String {
        let attempts = self.attempts.into_inner().unwrap_or_else(PoisonError::into_inner);
        let workers = attempts.iter().map(|a| a.worker + 1).max().unwrap_or(0);
        let whole = attempts.iter().map(|a| a.end).max().unwrap_or_default();
        let scale = (WIDTH - LEFT - 20.0) / whole.as_secs_f64().max(1e-9);
        let x = |at: Duration| LEFT + at.as_secs_f64() * scale;
        let y = |worker: usize| TOP + worker as f64 * ROW;
        let height = y(workers) + 60.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" \
             height=\"{height}\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"24\" font-size=\"16\">\
             {title}: {:.3} ms</text>\n",
            whole.as_secs_f64() * 1e3
        );
        for worker in 0..workers {
            let at = y(worker) + BAR / 2.0 + 4.0;
            let _ = writeln!(svg, "<text x=\"8\" y=\"{at:.1}\">worker {worker}</text>");
        }
        for attempt in &attempts {
            draw(&mut svg, attempt, fate(attempt, &attempts), &x, y(attempt.worker));
        }
        for attempt in &attempts {
            // From the run that missed something to the run that gave it.
            let Some(earlier) = attempt.waits_for else { continue };
            let giver = attempts.iter().filter(|a| a.transaction == earlier).max_by_key(|a| a.end);
            if let Some(giver) = giver {
                let _ = writeln!(
                    svg,
                    "<line x1=\"{:.2}\" y1=\"{:.1}\" x2=\"{:.2}\" y2=\"{:.1}\" stroke=\"#555\" \
                     stroke-dasharray=\"3 2\"/>",
                    x(attempt.end),
                    y(attempt.worker) + BAR / 2.0,
                    x(giver.end),
                    y(giver.worker) + BAR / 2.0,
                );
            }
        }
        let mut left = LEFT;
        for fate in [Fate::Kept, Fate::InTurn, Fate::Vain, Fate::Waits] {
            let (color, words) = fate.legend();
            let at = height - 26.0;
            let _ = writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{at}\" width=\"14\" height=\"14\" fill=\"{color}\"/>\
                 <text x=\"{}\" y=\"{}\">{words}</text>",
                left + 20.0,
                at + 12.0
            );
            left += 300.0;
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Observer for Recorder {
    fn started(&self, worker: usize, transaction: usize, in_turn: bool) {
        let begin = self.start.elapsed();
        let attempt = Attempt { worker, transaction, in_turn, begin, end: begin, waits_for: None };
        self.with(|attempts| attempts.push(attempt));
    }

    fn finished(&self, worker: usize, transaction: usize, waits_for: Option<usize>) {
        let end = self.start.elapsed();
        self.with(|attempts| {
            let own = |a: &&mut Attempt| a.worker == worker && a.transaction == transaction;
            if let Some(attempt) = attempts.iter_mut().rev().find(own) {
                attempt.end = end;
                attempt.waits_for = waits_for;
            }
        });
    }
}

/// What became of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    InTurn,
    Vain,
    Waits,
}

impl Fate {
    const fn legend(self) -> (&'static str, &'static str) {
        match self {
            Self::Kept => ("#4c9f70", "ran ahead of its turn, and still held in it"),
            Self::InTurn => ("#4878a8", "ran in its turn"),
            Self::Vain => ("#d1495b", "ran ahead in vain, and again in its turn"),
            Self::Waits => ("#e9b44c", "missed an earlier result, and waited"),
        }
    }
}

fn fate(attempt: &Attempt, attempts: &[Attempt]) -> Fate {
    if attempt.waits_for.is_some() {
        return Fate::Waits;
    }
    if attempt.in_turn {
        return Fate::InTurn;
    }
    let again =
        attempts.iter().any(|a| a.transaction == attempt.transaction && a.begin >= attempt.end);
    if again { Fate::Vain } else { Fate::Kept }
}

fn draw(svg: &mut String, attempt: &Attempt, fate: Fate, x: &dyn Fn(Duration) -> f64, y: f64) {
    let Attempt { transaction, begin, end, .. } = *attempt;
    let (left, width) = (x(begin), (x(end) - x(begin)).max(0.5));
    let (color, words) = fate.legend();
    let micros = (end.saturating_sub(begin)).as_secs_f64() * 1e6;
    let waited = attempt.waits_for.map(|tx| format!(" for {tx}")).unwrap_or_default();
    let _ = writeln!(
        svg,
        "<rect x=\"{left:.2}\" y=\"{y:.1}\" width=\"{width:.2}\" height=\"{BAR}\" fill=\"{color}\" \
         stroke=\"white\" stroke-width=\"0.3\"><title>transaction {transaction}: {words}{waited}; \
         {micros:.1} µs</title></rect>",
    );
    if width > 22.0 {
        let _ = writeln!(
            svg,
            "<text x=\"{:.2}\" y=\"{:.1}\" fill=\"white\" font-size=\"10\">{transaction}</text>",
            left + 3.0,
            y + BAR / 2.0 + 4.0
        );
    }
}
