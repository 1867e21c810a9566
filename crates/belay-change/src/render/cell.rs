//! One value on a terminal.

use crate::RowChange;

/// The text with what could steer a terminal or hide in it written out: `\n`, `\u{1b}`.
pub fn printable(text: &str) -> String {
    if !text.chars().any(steers) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if steers(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Controls, and what changes the direction of a text or cannot be seen in it.
fn steers(c: char) -> bool {
    let unseen = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
    let more = matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    c.is_control() || unseen || more
}

/// A value, or NULL, so that a text of these letters does not look like it.
pub(super) fn value(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() || text == "NULL" => format!("'{text}'"),
        Some(text) => printable(text),
    }
}

/// `open -> closed`, of a row that has both.
pub(super) fn both(change: &RowChange, place: u16) -> String {
    let at =
        |row: Option<&crate::Row>| value(row.and_then(|row| row.get(usize::from(place))).and_then(Option::as_deref));
    format!("{} -> {}", at(change.before()), at(change.after()))
}

/// The text, at most as wide as this.
pub(super) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let (mut shown, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += char_width(c);
        if used > most {
            break;
        }
        shown.push(c);
    }
    shown.push('…');
    shown
}

/// As many places as a terminal needs.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Two for what East Asian scripts and pictures take; one for the rest, which is too much for marks that combine.
fn char_width(c: char) -> usize {
    let wide = matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}' | '\u{1f900}'..='\u{1f9ff}' | '\u{20000}'..='\u{3fffd}');
    if wide { 2 } else { 1 }
}
