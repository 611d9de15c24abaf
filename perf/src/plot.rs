//! The ratios of a comparison as a picture: SVG, horizontal bars on a logarithmic axis.
//!
//! The reference is the line at 1; a bar to the right of it is better. Whiskers reach from the least to the
//! greatest ratio of a round. What crossing came to is drawn likewise, as ratios of costs: to the right of
//! the line is dearer. The picture brings its own ground, light or dark as its reader has it, so that
//! it can be read on any page.

use std::fmt::Write as _;

use crate::claims::Claim;
use crate::record::Record;
use crate::samples::{Summary, short};

/// Width of the picture, in pixels, as all lengths here.
const WIDTH: f64 = 880.0;

/// Where the axis begins and ends; names are to the left, room for the last value to the right.
const AXIS: (f64, f64) = (215.0, 815.0);

/// Where the first group begins, below title and legend.
const TOP: f64 = 118.0;

/// Height of a bar with the gap below it.
const BAR: f64 = 15.0;

/// Gap between groups.
const GAP: f64 = 12.0;

/// Colours of the servers in turn; they differ for the colour-blind too.
const COLOURS: [&str; 6] = [
    "#d55e00", "#e69f00", "#0072b2", "#009e73", "#999999", "#cc79a7",
];

const STYLE: &str = "\
.ground{fill:#ffffff}text{fill:#1f2328;font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;\
font-size:12px}.title{font-size:18px;font-weight:600}.quiet{fill:#59636e;font-size:11px}.name{font-weight:600}\
.grid{stroke:#d1d9e0}.one{stroke:#1f2328;stroke-width:1.5}.whisker{stroke:#1f2328}\
@media(prefers-color-scheme:dark){.ground{fill:#0d1117}text{fill:#f0f6fc}.quiet{fill:#9198a1}\
.grid{stroke:#3d444d}.one,.whisker{stroke:#f0f6fc}}";

/// One scenario, or one figure of it.
#[derive(Debug)]
struct Group {
    name: String,
    /// Figures of the reference and of the first other server, in their unit.
    figures: String,
    /// Place of the server among the colours, and how many times better it is.
    bars: Vec<(usize, Summary)>,
    /// A value that the bars are not to exceed.
    at_most: Option<f64>,
}

/// The picture; `None` when there is nothing to compare.
pub(crate) fn draw(record: &Record<'_>) -> Option<String> {
    let claims = record.claims();
    let is_crossing = !claims.is_empty();
    let groups = match is_crossing {
        true => claims.iter().map(Group::of_claim).collect(),
        false => groups(record),
    };
    let title = match is_crossing {
        true => "What crossing costs: server CPU time of a delivery".to_owned(),
        false => title(record),
    };
    let axis = Axis::over(&groups)?;
    let reference = record.reference();
    let heights = groups
        .iter()
        .map(|group| group.bars.len() as f64 * BAR + GAP);
    let bottom = TOP + heights.sum::<f64>().max(BAR);
    let height = bottom + 52.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n",
        escaped(&title),
    );
    text(&mut svg, (20.0, 32.0), "title", "start", &title);
    text(
        &mut svg,
        (20.0, 52.0),
        "quiet",
        "start",
        &record.machine_line(),
    );
    text(&mut svg, (20.0, 68.0), "quiet", "start", &record.run_line());
    if !is_crossing {
        legend(&mut svg, record, &groups);
    }
    axis.draw(&mut svg, bottom);
    let mut y = TOP;
    for group in &groups {
        group.draw(&mut svg, &axis, y);
        y += group.bars.len() as f64 * BAR + GAP;
    }
    let x = axis.x(1.0);
    line(&mut svg, "one", (x, TOP - 8.0), (x, bottom));
    let scale = match is_crossing {
        true => {
            "1 is as dear as what it is set against; marks are the most that it may be".to_owned()
        }
        false => format!("{reference} is the line at 1. ns: server CPU time for each message"),
    };
    let note =
        format!("Logarithmic; {scale}. Bars: median of the rounds; whiskers: least and greatest.");
    text(
        &mut svg,
        (WIDTH / 2.0, bottom + 38.0),
        "quiet",
        "middle",
        &note,
    );
    svg += "</svg>\n";
    Some(svg)
}

fn title(record: &Record<'_>) -> String {
    let reference = record.reference();
    let mut sites = record.sites.iter();
    let version = sites.find(|site| site.peer.name == reference);
    let version = version.map_or("", |site| {
        site.version.split(' ').next().unwrap_or_default()
    });
    format!("How many times better than {reference} ({version})")
}

fn groups(record: &Record<'_>) -> Vec<Group> {
    let mut groups = Vec::new();
    for cells in record.by_scenario() {
        let reference = record.reference_among(cells);
        for figure in record.figures(&cells[0].scenario) {
            let others = cells.iter().enumerate();
            let bars: Vec<(usize, Summary)> = others
                .filter(|(_, cell)| cell.server != reference.server)
                .filter_map(|(at, cell)| Some((at, cell.times_better(reference, *figure)?)))
                .collect();
            let Some((first, _)) = bars.first() else {
                continue;
            };
            let value = |at: usize| {
                cells[at]
                    .figure(*figure)
                    .map_or(0.0, |figures| figures.median)
            };
            let base = reference
                .figure(*figure)
                .map_or(0.0, |figures| figures.median);
            groups.push(Group {
                name: cells[0].scenario.to_string(),
                at_most: None,
                figures: format!(
                    "{} against {} {}",
                    short(value(*first)),
                    short(base),
                    figure.unit()
                ),
                bars,
            });
        }
    }
    groups
}

/// The scale, from the least to the greatest value, with 1 on it.
#[derive(Debug)]
struct Axis {
    least: f64,
    greatest: f64,
}

impl Axis {
    fn over(groups: &[Group]) -> Option<Self> {
        let bars = groups.iter().flat_map(|group| &group.bars);
        let (least, greatest) =
            bars.fold((1.0, 1.0), |(least, greatest): (f64, f64), (_, ratio)| {
                (least.min(ratio.min), greatest.max(ratio.max))
            });
        let limits = groups.iter().filter_map(|group| group.at_most);
        let greatest = limits.fold(greatest, f64::max);
        // Room for the text of a value on either side.
        let least = if least < 0.95 { least / 1.6 } else { 0.9 };
        (!groups.is_empty()).then_some(Self {
            least,
            greatest: greatest.max(1.5) * 1.1,
        })
    }

    fn x(&self, value: f64) -> f64 {
        let share = (value / self.least).ln() / (self.greatest / self.least).ln();
        AXIS.0 + share * (AXIS.1 - AXIS.0)
    }

    /// Values with a line: 1, 2 and 5 in each power of ten.
    fn ticks(&self) -> Vec<f64> {
        let powers = (-4..6).map(|power| 10f64.powi(power));
        let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * power));
        all.filter(|value| (self.least..=self.greatest).contains(value))
            .collect()
    }

    fn draw(&self, svg: &mut String, bottom: f64) {
        for value in self.ticks() {
            let x = self.x(value);
            line(svg, "grid", (x, TOP - 8.0), (x, bottom));
            text(
                svg,
                (x, bottom + 16.0),
                "quiet",
                "middle",
                &format!("{value}\u{d7}"),
            );
        }
    }
}

fn legend(svg: &mut String, record: &Record<'_>, groups: &[Group]) {
    let mut x = 20.0;
    for (at, site) in record.sites.iter().enumerate() {
        if !groups
            .iter()
            .any(|group| group.bars.iter().any(|(bar, _)| *bar == at))
        {
            continue;
        }
        let version = site.version.split(' ').next().unwrap_or_default();
        let name = format!("{} {version}", site.peer.name);
        let colour = COLOURS[at % COLOURS.len()];
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"82\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{colour}\"/>"
        );
        text(svg, (x + 16.0, 92.0), "", "start", &name);
        x += 36.0 + name.chars().count() as f64 * 7.0;
    }
}

impl Group {
    fn of_claim(claim: &Claim) -> Self {
        Self {
            name: claim.of.clone(),
            figures: format!("against {}", claim.against),
            bars: vec![(0, claim.ratio)],
            at_most: claim.at_most,
        }
    }

    fn draw(&self, svg: &mut String, axis: &Axis, top: f64) {
        let middle = top + self.bars.len() as f64 * BAR / 2.0;
        let x = AXIS.0 - 12.0;
        text(svg, (x, middle - 2.0), "name", "end", &self.name);
        text(svg, (x, middle + 11.0), "quiet", "end", &self.figures);
        for (row, (server, ratio)) in self.bars.iter().enumerate() {
            let y = top + row as f64 * BAR;
            let (from, to) = (axis.x(ratio.median.min(1.0)), axis.x(ratio.median.max(1.0)));
            let colour = COLOURS[server % COLOURS.len()];
            let _ = writeln!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                (to - from).max(1.0),
                BAR - 2.0,
            );
            let centre = y + (BAR - 2.0) / 2.0;
            let (least, greatest) = (axis.x(ratio.min), axis.x(ratio.max));
            line(svg, "whisker", (least, centre), (greatest, centre));
            let value = format!("{}\u{d7}", short(ratio.median));
            if ratio.median < 1.0 {
                text(svg, (least - 5.0, centre + 4.0), "", "end", &value);
            } else {
                text(svg, (greatest + 5.0, centre + 4.0), "", "start", &value);
            }
        }
        let height = self.bars.len() as f64 * BAR;
        if let Some(x) = self.at_most.map(|most| axis.x(most)) {
            line(svg, "one", (x, top - 3.0), (x, top + height + 1.0));
        }
    }
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), class: &str, anchor: &str, words: &str) {
    let (x, y) = at;
    let words = escaped(words);
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

/// Text that XML leaves alone; control characters, which it forbids, become blanks.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests;
