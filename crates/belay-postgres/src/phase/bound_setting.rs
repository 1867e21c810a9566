//! Settings that a Bind names for `current_setting`.

use super::names::Prepared;
use crate::classify::{Reading, SqlName, may_show, why_not_shown};
use crate::wire::{WireError, bind_parameters};
use belay_model::Code;

/// Types whose values are texts as they stand, in both formats; 0 where the text settles the type.
const TEXTS: [u32; 5] = [0, 19, 25, 705, 1043];

/// Why this Bind of a statement is refused, where it names a setting that may not be shown.
pub(super) fn refused(prepared: &Prepared, bind: &[u8]) -> Result<Option<Reading>, WireError> {
    let of_name = |name: &SqlName| match name {
        SqlName::Shows { parameter } => Some(*parameter),
        _ => None,
    };
    let mut shown = prepared.reading.names.iter().filter_map(of_name).peekable();
    if shown.peek().is_none() {
        return Ok(None);
    }
    let (_, _, values) = bind_parameters(bind)?;
    let refused = |because| Reading::refused(Code::Privilege, because);
    Ok(shown.find_map(|parameter| {
        let kind = prepared.types.get(parameter - 1).copied().unwrap_or(0);
        if !TEXTS.contains(&kind) || occurrences(&prepared.text, parameter) != 1 {
            return Some(refused(format!("it shows the setting that ${parameter} names, which may be no text")));
        }
        // Without the value the target says itself what is wrong.
        let (_, value) = values.get(parameter - 1)?;
        match std::str::from_utf8((*value)?) {
            Ok(name) if may_show(name) => None,
            Ok(name) => Some(refused(why_not_shown(name))),
            Err(_) => Some(refused(format!("it shows the setting that ${parameter} names, which is not UTF-8"))),
        }
    }))
}

/// How often a text may name a parameter: what stands in a literal counts too, and `$01` as often as it is there.
fn occurrences(text: &str, parameter: usize) -> usize {
    let padded = text.matches("$0").count();
    let name = format!("${parameter}");
    let longer = |rest: &str| rest.starts_with(|next: char| next.is_ascii_digit());
    let written = |(at, _): &(usize, &str)| !longer(text.get(at + name.len()..).unwrap_or_default());
    padded + text.match_indices(&name).filter(written).count()
}
