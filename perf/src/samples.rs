//! Several samples of one thing: median, least, greatest; and a table of such rows.

use std::fmt;

/// Median, least and greatest of some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// Middle one, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// Least.
    pub(crate) min: f64,
    /// Greatest.
    pub(crate) max: f64,
}

impl Summary {
    /// Summary of these samples; `None` of none.
    pub(crate) fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let (min, max) = (*samples.first()?, *samples.last()?);
        let middle = samples.len() / 2;
        let median = if samples.len() % 2 == 1 {
            samples[middle]
        } else {
            (samples[middle - 1] + samples[middle]) / 2.0
        };
        Some(Self { median, min, max })
    }
}

/// Rows of text in aligned columns: the first to the left, all others to the right.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    is_markdown: bool,
}

impl Table {
    /// A table with this first row.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()],
            is_markdown: false,
        }
    }

    /// The same with bars between the columns and a rule below the first row.
    pub(crate) fn markdown(head: &[&str]) -> Self {
        let mut table = Self::new(head);
        table.is_markdown = true;
        table
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate();
            let cells: Vec<String> = cells
                .map(|(column, (cell, &width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            if !self.is_markdown {
                writeln!(f, "{}", cells.join("  ").trim_end())?;
                continue;
            }
            writeln!(f, "| {} |", cells.join(" | "))?;
            if index == 0 {
                let rule = |(column, width): (usize, &usize)| match column {
                    0 => "-".repeat(*width),
                    _ => "-".repeat(width.saturating_sub(1)) + ":",
                };
                let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
                writeln!(f, "| {} |", rules.join(" | "))?;
            }
        }
        Ok(())
    }
}

/// A number with three or four significant digits, as a table wants it.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A rate per second with its unit.
pub(crate) fn short_rate(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let of = |samples: &[f64]| Summary::of(samples.to_vec());
        assert_eq!(of(&[]), None);
        assert_eq!(
            of(&[3.0, 1.0, 2.0]),
            Some(Summary {
                median: 2.0,
                min: 1.0,
                max: 3.0
            })
        );
        assert_eq!(
            of(&[4.0, 1.0]),
            Some(Summary {
                median: 2.5,
                min: 1.0,
                max: 4.0
            })
        );
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["a", "ns"]);
        table.push(vec!["long name".to_owned(), "7".to_owned()]);
        table.push(vec!["b".to_owned(), "123".to_owned()]);
        assert_eq!(
            table.to_string(),
            "a           ns\nlong name    7\nb          123\n"
        );
    }

    #[test]
    fn markdown_has_a_rule() {
        let mut table = Table::markdown(&["a", "ns"]);
        table.push(vec!["long".to_owned(), "123".to_owned()]);
        assert_eq!(
            table.to_string(),
            "| a    |  ns |\n| ---- | --: |\n| long | 123 |\n"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [short(1.234), short(56.78), short(1234.5)],
            ["1.23", "56.8", "1234"]
        );
        assert_eq!(
            [short_rate(4.2e6), short_rate(4200.0), short_rate(42.0)],
            ["4.20 M/s", "4.2 k/s", "42 /s"]
        );
    }
}
