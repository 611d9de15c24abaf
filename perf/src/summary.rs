//! What a comparison prints: a table for each scenario, then one of all of them.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cells::Cell;
use crate::claims;
use crate::figure::Figure;
use crate::record::Record;
use crate::report::Outcome;
use crate::samples::{Summary, Table, short, short_rate};

/// Everything that is printed.
pub(crate) fn text(record: &Record<'_>) -> String {
    let mut text = head(record);
    for cells in record.by_scenario() {
        let reference = record.reference_among(cells);
        let figure = record.figures(&cells[0].scenario)[0];
        let _ = writeln!(
            text,
            "\n{}",
            table(cells, reference, figure).to_string().trim_end()
        );
    }
    let _ = write!(text, "\n{}", matrix(record));
    let claims = record.claims();
    if !claims.is_empty() {
        let _ = write!(text, "\n{}", claims::table(&claims));
    }
    let _ = write!(text, "\n{}", notes(record));
    text
}

/// The machine, when, and who takes part.
fn head(record: &Record<'_>) -> String {
    let mut text = format!("{}\n{}\n", record.machine_line(), record.run_line());
    for site in &record.sites {
        let command = site.peer.written().join(" ");
        let _ = writeln!(
            text,
            "{:<10} {:<16} {command}",
            site.peer.name, site.version
        );
    }
    text
}

/// The rows of one scenario.
fn table(cells: &[Cell], reference: &Cell, figure: Figure) -> Table {
    let scenario = cells[0].scenario.to_string();
    let times = format!("x {}", reference.server);
    let mut head = vec![
        &*scenario,
        figure.unit(),
        "min",
        "max",
        &*times,
        "spread",
        "busy",
    ];
    if cells[0].counts_messages() {
        head.extend(["user", "system", "rate", "generator"]);
    }
    if has_latency(cells) {
        head.extend(["p50", "p99", "p99.9", "max"]);
    }
    head.extend(["peak", "others"]);
    let mut table = Table::new(&head);
    for cell in cells {
        table.push(row(cell, reference, figure, has_latency(cells)));
    }
    table
}

fn has_latency(cells: &[Cell]) -> bool {
    let mut outcomes = cells.iter().flat_map(Cell::counted);
    outcomes.any(|sample| sample.outcome.latency.is_some())
}

fn row(cell: &Cell, reference: &Cell, figure: Figure, has_latency: bool) -> Vec<String> {
    let mut row = vec![cell.server.clone()];
    let Some(figures) = cell.figure(figure) else {
        row.push("-".to_owned());
        return row;
    };
    row.extend([figures.median, figures.min, figures.max].map(short));
    let ratio = cell.times_better(reference, figure);
    row.push(ratio.map_or_else(|| "-".to_owned(), times));
    row.push(ratio.map_or_else(|| "-".to_owned(), spread));
    row.push(median(cell, Outcome::server_share, percent));
    if cell.counts_messages() {
        let split = Outcome::server_split;
        row.push(median(cell, |outcome| Some(split(outcome)?.0), short));
        row.push(median(cell, |outcome| Some(split(outcome)?.1), short));
        row.push(median(cell, |outcome| Some(outcome.rate()), short_rate));
        row.push(median(
            cell,
            |outcome| Some(outcome.generator_ns_each()),
            short,
        ));
    }
    if has_latency {
        let latencies = [Figure::P50, Figure::P99, Figure::P999, Figure::Max];
        row.extend(latencies.map(|part| median(cell, |outcome| part.value(outcome), micros)));
    }
    row.push(median(
        cell,
        |outcome| Figure::Peak.value(outcome),
        |mib| format!("{mib:.1} MiB"),
    ));
    let mut others = Summary::of(
        cell.counted()
            .map(|sample| sample.foreign.share())
            .collect(),
    )
    .map_or_else(String::new, |shares| percent(shares.max));
    if cell.disturbed() > 0 {
        let _ = write!(others, " !{}", cell.disturbed());
    }
    row.push(others);
    row
}

/// The median of a number as text; `-` when no outcome has it.
fn median(
    cell: &Cell,
    of: impl Fn(&Outcome) -> Option<f64>,
    text: impl Fn(f64) -> String,
) -> String {
    let summary = cell.summary(of);
    summary.map_or_else(|| "-".to_owned(), |summary| text(summary.median))
}

/// All scenarios, one server a column, fit for a README: the reference in its units, the others in times.
fn matrix(record: &Record<'_>) -> Table {
    let reference = record.reference();
    let others = || {
        record
            .sites
            .iter()
            .filter(|site| site.peer.name != reference)
    };
    let mut head = vec!["scenario", reference];
    head.extend(others().map(|site| site.peer.name.as_str()));
    let mut table = Table::markdown(&head);
    for cells in record.by_scenario() {
        let base = record.reference_among(cells);
        for figure in record.figures(&cells[0].scenario) {
            let value = |cell: &Cell| match cell.figure(*figure) {
                Some(figures) => format!("{} {}", short(figures.median), figure.unit()),
                None => "-".to_owned(),
            };
            let mut row = vec![cells[0].scenario.to_string(), value(base)];
            for cell in cells.iter().filter(|cell| cell.server != base.server) {
                row.push(match cell.times_better(base, *figure) {
                    Some(ratio) => format!("{} ({})", times(ratio), spread(ratio)),
                    // One of the two is nothing, which is not so rare for an idle server.
                    None => value(cell),
                });
            }
            table.push(row);
        }
    }
    table
}

/// How to read it all.
fn notes(record: &Record<'_>) -> String {
    let limit = percent(record.plan.foreign_max);
    let mut text = format!(
        "x {0}: how many times better than {0}, the median of the ratios of the rounds and their spread; of \
         rates\nmore is better, of all else less. others: the most that others took of a CPU in a window \
         that counts.\n",
        record.reference()
    );
    let discarded: usize = record.cells.iter().map(|cell| cell.discarded.len()).sum();
    if discarded > 0 {
        let _ = writeln!(
            text,
            "Discarded and measured again: {discarded} windows with more than {limit}."
        );
    }
    let disturbed: usize = record.cells.iter().map(Cell::disturbed).sum();
    if disturbed > 0 {
        let _ = writeln!(
            text,
            "!N: N windows ({disturbed} in all) stayed above {limit}; they count only where there is no other."
        );
    }
    text
}

fn times(ratio: Summary) -> String {
    format!("{}x", short(ratio.median))
}

/// Least and greatest.
pub(crate) fn spread(ratio: Summary) -> String {
    format!("{}-{}", short(ratio.min), short(ratio.max))
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 0.995 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

fn micros(us: f64) -> String {
    let time = Duration::from_secs_f64(us / 1e6);
    match time {
        time if time < Duration::from_millis(10) => format!("{} us", short(us)),
        time => format!("{} ms", short(time.as_secs_f64() * 1e3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::tests::cell;

    fn words(table: &Table) -> Vec<Vec<String>> {
        let text = table.to_string();
        let lines = text.lines();
        lines
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn the_table_compares_with_the_reference() {
        let cells = [
            cell("ours", &[20, 30, 25]),
            cell("theirs", &[200, 240, 250]),
            cell("broken", &[]),
        ];
        let lines = words(&table(&cells, &cells[1], Figure::Cpu));
        assert_eq!(
            lines[0][..7],
            ["1to1:16", "ns", "min", "max", "x", "theirs", "spread"]
        );
        assert_eq!(
            lines[1][..6],
            ["ours", "25.0", "20.0", "30.0", "10.0x", "8.00-10.0"]
        );
        assert_eq!(
            lines[2][..6],
            ["theirs", "240.0", "200.0", "250.0", "1.00x", "1.00-1.00"]
        );
        assert_eq!(lines[3], ["broken", "-"]);
    }

    #[test]
    fn disturbed_rounds_are_marked() {
        let cells = [cell("ours", &[20, -30, -25])];
        let lines = words(&table(&cells, &cells[0], Figure::Cpu));
        assert_eq!(lines[1].last().map(String::as_str), Some("!2"));
        assert_eq!(lines[1][1], "20.0");
    }

    #[test]
    fn shares_and_times() {
        assert_eq!([percent(0.0012), percent(0.123)], ["0.12 %", "12.3 %"]);
        assert_eq!([micros(9.0), micros(43_000.0)], ["9.00 us", "43.0 ms"]);
    }
}
