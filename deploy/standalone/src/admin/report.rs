//! What a command has to say: one value, printed as tables and lines for people or as JSON for
//! programs.

use serde_json::Value;
use std::fmt::Write;

/// Between two columns.
const GAP: &str = "  ";

/// The outcome of a command.
#[derive(Debug)]
pub(super) struct Report {
    json: Value,
    parts: Vec<Part>,
    wrong: bool,
}

#[derive(Debug)]
enum Part {
    Line(String),
    Table(Table),
}

/// Rows under headings.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Report {
    /// A report that programs read as `json`.
    pub(super) fn new(json: Value) -> Self {
        Self {
            json,
            parts: Vec::new(),
            wrong: false,
        }
    }

    /// With one more line for people.
    pub(super) fn line(mut self, line: impl Into<String>) -> Self {
        self.parts.push(Part::Line(line.into()));
        self
    }

    /// With one more table for people.
    pub(super) fn table(mut self, table: Table) -> Self {
        self.parts.push(Part::Table(table));
        self
    }

    /// What was asked for is not in order: the exit code tells.
    pub(super) fn wrong(mut self, wrong: bool) -> Self {
        self.wrong = wrong;
        self
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.wrong
    }

    pub(super) fn to_json(&self) -> String {
        format!("{:#}\n", self.json)
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Line(line) => {
                    let _ = writeln!(text, "{}", line.trim_end());
                }
                Part::Table(table) => table.write(&mut text),
            }
        }
        text
    }
}

impl Table {
    /// A table without rows.
    pub(super) fn new(headings: &[&str]) -> Self {
        let headings = headings.iter().map(|heading| (*heading).to_owned());
        Self {
            rows: vec![headings.collect()],
        }
    }

    /// With one more row.
    pub(super) fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.into());
    }

    fn write(&self, text: &mut String) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            let _ = writeln!(text, "{}", cells.join(GAP).trim_end());
        }
    }
}

/// A dash where there is nothing.
pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

/// A time since 1970 as `2026-11-22 19:41:07`, UTC.
pub(super) fn time(unix_s: u64) -> String {
    let (days, seconds) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// The Gregorian date of a day since 1970. Years are counted from March, so that the leap day is
/// a year's last, in eras of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    let day = days.saturating_add(DAYS_TO_1970);
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (unix_s, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (1_795_376_467, "2026-11-22 19:41:07"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(time(unix_s), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["a", "long heading"]);
        table.row(["value".to_owned(), "x".to_owned()]);
        table.row(["ä".to_owned(), String::new()]);
        let report = Report::new(Value::Null).table(table).line("end");
        let expect = "a      long heading\nvalue  x\nä\nend\n";
        assert_eq!(report.to_text(), expect);
    }
}
