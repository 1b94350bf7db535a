//! What stands in a message of the user or the operator: texts, pictures, sound, films, files. What
//! the model itself said is not written here.

use crate::dialect::write::{List, put};
use crate::message::{Media, Part};
use crate::wire::json::{self, Str};

/// A part of a message of the user or the operator. What can't be carried is said in words.
pub(super) fn part(
    part: &Part<'_>,
    mark: Option<&str>,
    list: &mut List,
) -> Result<(), &'static str> {
    let mut item = Vec::new();
    let out = &mut item;
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => {
            put(out, &["{\"type\":\"text\",\"text\":", text.raw()]);
        }
        Part::Image { source, detail, .. } => {
            put(out, &["{\"type\":\"image_url\",\"image_url\":{\"url\":"]);
            if !source.write_url(out) {
                return Err("takes pictures by URL or inline");
            }
            if let Some(detail) = detail {
                put(out, &[",\"detail\":", detail.raw()]);
            }
            out.push(b'}');
        }
        Part::Audio { data, format, .. } => {
            put(
                out,
                &[
                    "{\"type\":\"input_audio\",\"input_audio\":{\"data\":",
                    data.raw(),
                ],
            );
            put(out, &[",\"format\":", format.raw(), "}"]);
        }
        Part::Video { source, .. } => {
            put(out, &["{\"type\":\"video_url\",\"video_url\":{\"url\":"]);
            if !source.write_url(out) {
                return Err("takes films by URL or inline");
            }
            out.push(b'}');
        }
        Part::File { source, name, .. } => {
            put(out, &["{\"type\":\"file\",\"file\":{"]);
            put(out, &["\"filename\":", name.map_or("\"file\"", Str::raw)]);
            let start = out.len();
            put(out, &[",\"file_data\":"]);
            if !source.write_url(out) {
                out.truncate(start);
                if let Media::Id(id) = source.resolve() {
                    put(out, &[",\"file_id\":"]);
                    json::write_string(out, &id);
                }
            }
            out.push(b'}');
        }
        Part::Spoken(_) | Part::Reasoning(_) | Part::Call { .. } => {
            return Err("does not take this from a user");
        }
    }
    if let Some(mark) = mark {
        put(out, &[",\"cache_control\":", mark]);
    }
    out.push(b'}');
    list.item().extend_from_slice(&item);
    Ok(())
}
