//! Many rows in few statements. PostgreSQL takes each column as one array, so that one statement
//! holds any number of rows; SQLite takes a fixed number of rows at a time. Only names from this
//! program stand in the statements; every value is bound.

use super::Engine;
use sqlx::{Any, AssertSqlSafe, Transaction};
use std::borrow::Cow;
use std::fmt::Write;

/// Rows in one statement of SQLite. Two lengths only, this and one row, so that it parses each
/// once.
const ROWS_PER_STATEMENT: usize = 16;

/// What a column keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// BIGINT.
    Big,
    /// INTEGER.
    Int,
    /// SMALLINT.
    Small,
    /// TEXT.
    Text,
}

impl Type {
    const fn array(self) -> &'static str {
        match self {
            Self::Big => "bigint[]",
            Self::Int => "integer[]",
            Self::Small => "smallint[]",
            Self::Text => "text[]",
        }
    }
}

/// One value of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cell<'a> {
    /// For every kind of integer.
    Int(i64),
    /// For TEXT.
    Text(Cow<'a, str>),
}

impl<'a> Cell<'a> {
    /// A text as both engines can keep it: [`storable`].
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Self::Text(storable(text))
    }
}

impl From<i64> for Cell<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i16> for Cell<'_> {
    fn from(value: i16) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<String> for Cell<'_> {
    fn from(text: String) -> Self {
        match storable(&text) {
            Cow::Borrowed(_) => Self::Text(Cow::Owned(text)),
            Cow::Owned(changed) => Self::Text(Cow::Owned(changed)),
        }
    }
}

/// PostgreSQL keeps no NUL in a text. A client may send one, as part of a model's name: it becomes
/// the replacement character, so that no record is refused for it.
#[must_use]
pub fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Where rows go.
#[derive(Clone, Copy, Debug)]
pub struct Table<const N: usize> {
    /// Its name.
    pub name: &'static str,
    /// The columns that are given.
    pub columns: [(&'static str, Type); N],
    /// What follows the values: empty, or an `ON CONFLICT` clause.
    pub conflict: &'static str,
}

impl<const N: usize> Table<N> {
    /// Inserts rows; none is no work.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert(
        &self,
        transaction: &mut Transaction<'static, Any>,
        engine: Engine,
        rows: &[[Cell<'_>; N]],
    ) -> Result<(), sqlx::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        match engine {
            Engine::Sqlite => self.in_pieces(transaction, rows).await,
            Engine::Postgres => self.as_arrays(transaction, rows).await,
        }
    }

    async fn as_arrays(
        &self,
        transaction: &mut Transaction<'static, Any>,
        rows: &[[Cell<'_>; N]],
    ) -> Result<(), sqlx::Error> {
        let mut sql = self.head();
        sql.push_str("SELECT * FROM unnest(");
        for (number, (_, kind)) in (1..).zip(self.columns) {
            let comma = if number == 1 { "" } else { ", " };
            let _ = write!(sql, "{comma}${number}::{}", kind.array());
        }
        sql.push_str(") ");
        sql.push_str(self.conflict);
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for column in 0..N {
            let cells = rows.iter().filter_map(|row| row.get(column));
            query = query.bind(array(cells));
        }
        query.execute(&mut **transaction).await?;
        Ok(())
    }

    async fn in_pieces(
        &self,
        transaction: &mut Transaction<'static, Any>,
        rows: &[[Cell<'_>; N]],
    ) -> Result<(), sqlx::Error> {
        let chunks = rows.chunks_exact(ROWS_PER_STATEMENT);
        let rest = chunks.remainder().chunks(1);
        for chunk in chunks.chain(rest) {
            let mut query = sqlx::query(AssertSqlSafe(self.of_values(chunk.len())));
            for cell in chunk.iter().flatten() {
                query = match cell {
                    Cell::Int(value) => query.bind(*value),
                    Cell::Text(text) => query.bind(text.clone().into_owned()),
                };
            }
            query.execute(&mut **transaction).await?;
        }
        Ok(())
    }

    fn head(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        format!("INSERT INTO {} ({}) ", self.name, names.join(", "))
    }

    /// SQLite finds a numbered placeholder by walking all before it, which is work by the square
    /// of their number: these have none.
    fn of_values(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; N].join(", "));
        let rows = vec![row; rows].join(", ");
        format!("{}VALUES {rows} {}", self.head(), self.conflict)
    }
}

/// An array as PostgreSQL writes it: every text in quotes, so that nothing in it has a meaning.
pub(super) fn array<'a>(cells: impl Iterator<Item = &'a Cell<'a>>) -> String {
    let mut array = String::from("{");
    for (number, cell) in cells.enumerate() {
        if number > 0 {
            array.push(',');
        }
        match cell {
            Cell::Int(value) => {
                let _ = write!(array, "{value}");
            }
            Cell::Text(text) => {
                array.push('"');
                for piece in text.split_inclusive(['"', '\\']) {
                    match piece.strip_suffix(['"', '\\']) {
                        Some(before) => {
                            array.push_str(before);
                            array.push('\\');
                            array.push_str(piece.get(before.len()..).unwrap_or_default());
                        }
                        None => array.push_str(piece),
                    }
                }
                array.push('"');
            }
        }
    }
    array.push('}');
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_text_has_no_meaning() {
        let cells = [
            Cell::text("a,b}{"),
            Cell::text("\"'\\"),
            Cell::text(""),
            Cell::text("NULL"),
            Cell::text("x\0y"),
            Cell::Int(-7),
        ];
        let expect = "{\"a,b}{\",\"\\\"'\\\\\",\"\",\"NULL\",\"x\u{fffd}y\",-7}";
        assert_eq!(array(cells.iter()), expect);
    }
}
