//! Exactly once: per run of a node, one number says up to which record everything is applied. A
//! batch continues there; what it repeats is skipped, what it leaves out is refused. Pure.

use super::{LedgerError, RECORDS_MAX, check_id};
use shared::money::Amount;
use shared::record::UsageRecord;

/// A batch cut at a watermark.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut<'a> {
    /// At or below the watermark: applied before.
    pub known: &'a [UsageRecord],
    /// To be applied now.
    pub new: &'a [UsageRecord],
}

/// Cuts a batch of contiguous records at `watermark`.
///
/// # Errors
/// [`LedgerError::Gap`] when the batch starts beyond the next record.
pub fn cut(records: &[UsageRecord], watermark: u64) -> Result<Cut<'_>, LedgerError> {
    let repeated = records.partition_point(|record| record.sequence <= watermark);
    let (known, new) = records.split_at(repeated);
    match new.first() {
        Some(first) if first.sequence != watermark + 1 => Err(LedgerError::Gap {
            expected: watermark + 1,
            found: first.sequence,
        }),
        _ => Ok(Cut { known, new }),
    }
}

/// Checks what does not depend on the books: the batch is contiguous from 1 or later and not too
/// long, names can be kept, no amount is below zero or beyond the columns.
///
/// # Errors
/// [`LedgerError::Invalid`], naming the record.
pub fn check(records: &[UsageRecord]) -> Result<(), LedgerError> {
    if records.len() > RECORDS_MAX {
        return Err(LedgerError::Invalid {
            what: "batch",
            reason: format!("{} records, at most {RECORDS_MAX}", records.len()),
        });
    }
    let mut expected = records.first().map_or(1, |first| first.sequence.max(1));
    for record in records {
        if record.sequence != expected {
            return Err(LedgerError::Invalid {
                what: "batch",
                reason: format!("record {} where {expected} belongs", record.sequence),
            });
        }
        expected = expected.saturating_add(1);
        check_id("organisation", record.org.as_str())?;
        for amount in [record.held, record.cost] {
            if amount < Amount::ZERO || amount.to_nano().is_none() {
                return Err(LedgerError::Invalid {
                    what: "amount",
                    reason: format!("{amount} USD in record {}", record.sequence),
                });
            }
        }
    }
    Ok(())
}
