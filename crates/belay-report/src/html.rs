//! A report as one page that needs nothing else: no script, no font, no network.
//!
//! What is not from this crate's own text goes through [`Page::text`], which escapes; there is no other way in.

mod changes;
mod done;
mod proof;
mod steps;

use crate::{Document, Report};

const STYLE: &str = include_str!("html/style.css");
const DATA: &str = "<script type=\"application/json\" id=\"report\">";
const DATA_END: &str = "</script>";

/// The page.
pub fn page(document: &Document) -> String {
    let mut page = Page::default();
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    page.raw("<title>Session report ").text(&document.subject).raw("</title>\n<style>\n").raw(STYLE).raw("</style>\n");
    page.raw("</head>\n<body>\n<header>\n");
    head(&mut page, document);
    page.raw("</header>\n<main>\n");
    steps::asked(&mut page, &document.report);
    done::sessions(&mut page, &document.report);
    changes::plans(&mut page, &document.report);
    changes::changes(&mut page, document);
    changes::left(&mut page, &document.report);
    proof::proof(&mut page, document);
    page.raw("</main>\n").data(document).raw("</body>\n</html>\n");
    page.0
}

/// The data of a page, in JSON.
pub fn embedded(page: &str) -> Option<String> {
    let (_, data) = page.split_once(DATA)?;
    let (data, _) = data.split_once(DATA_END)?;
    Some(data.to_owned())
}

fn head(page: &mut Page, document: &Document) {
    let summary = &document.report.summary;
    page.raw("<h1>Session report <code>").text(&document.subject).raw("</code></h1>\n<p class=\"soft\">");
    page.text(summary.who.as_deref().unwrap_or("unknown")).raw(" on ");
    page.text(summary.target.as_deref().unwrap_or("unknown"));
    if let (Some(from), Some(until)) = (&summary.from, &summary.until) {
        page.raw(", ").time(from).raw(" to ").time(until);
    }
    page.raw("</p>\n");
    page.raw("<p>People get access to production databases through Belay: they ask, somebody else approves, and every \
        statement that they send is recorded before it is run. This page tells what was recorded of one such access. It \
        was made from ");
    page.count(document.records.len() as u64, "record", "records");
    page.raw("; its last section says how to check that none of them was changed.</p>\n");
    story(page, &document.report);
    figures(page, &document.report);
}

/// The whole in some sentences.
fn story(page: &mut Page, report: &Report) {
    page.raw("<p class=\"lead\">");
    if let Some(request) = &report.request {
        page.text(request.who.as_deref().unwrap_or("Somebody")).raw(" asked to <strong>");
        page.raw(wanted(&request.effects)).raw("</strong> on ");
        page.text(request.target.as_deref().unwrap_or("a database")).raw(" for ").span(request.seconds).raw(". ");
        match report.summary.approved_by.as_slice() {
            [] if report.grants.is_empty() => page.raw("Access was not given. "),
            [] => page.raw("No person had to approve it. "),
            people => page.text(&people.join(" and ")).raw(" approved it. "),
        };
    }
    let summary = &report.summary;
    if summary.changes == 0 {
        page.raw("No rows were changed.");
    } else {
        page.count(summary.rows_changed, "row was changed", "rows were changed").raw("; ");
        match summary.rows_not_given_back {
            0 => page.raw("all of it was given back as it was."),
            rows => page.count(rows, "row is", "rows are").raw(" still as they were left."),
        };
    }
    page.raw("</p>\n");
}

/// What somebody asks to do.
fn wanted(effects: &[String]) -> &'static str {
    let has = |word: &str| effects.iter().any(|effect| effect == word);
    match (has("all"), has("direct"), has("write"), has("read")) {
        (true, ..) => "do everything, unjudged",
        (_, true, _, true) => "read, and to change rows at once,",
        (_, true, ..) => "change rows at once",
        (_, _, true, true) => "read, and to change rows that somebody approves first,",
        (_, _, true, false) => "change rows that somebody approves first",
        _ => "read",
    }
}

fn figures(page: &mut Page, report: &Report) {
    let summary = &report.summary;
    page.raw("<dl class=\"figures\">\n");
    for (name, figure) in [
        ("Statements", summary.statements),
        ("Refused", summary.refused),
        ("Failed", summary.failed),
        ("Changes", summary.changes),
        ("Rows changed", summary.rows_changed),
        ("Rows not given back", summary.rows_not_given_back),
    ] {
        page.raw("<div><dt>").raw(name).raw("</dt><dd>").number(figure).raw("</dd></div>\n");
    }
    page.raw("</dl>\n");
}

/// A point in time to the second, as people read it.
fn moment(time: &str) -> String {
    format!("{} UTC", time.get(..19).unwrap_or(time).replace('T', " "))
}

/// HTML on its way.
#[derive(Default)]
struct Page(String);

impl Page {
    /// HTML of this crate's own.
    fn raw(&mut self, html: &'static str) -> &mut Page {
        self.0.push_str(html);
        self
    }

    /// Text of anybody's.
    fn text(&mut self, text: &str) -> &mut Page {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // What would turn the order of letters around, or not be seen at all.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{feff}' => {
                    self.0.push_str(&letter.escape_unicode().to_string());
                }
                '\n' | '\t' => self.0.push(letter),
                letter if letter.is_control() => self.0.push_str(&letter.escape_unicode().to_string()),
                letter => self.0.push(letter),
            }
        }
        self
    }

    fn number(&mut self, number: u64) -> &mut Page {
        self.text(&number.to_string())
    }

    fn count(&mut self, number: u64, one: &'static str, several: &'static str) -> &mut Page {
        self.number(number).raw(" ").raw(if number == 1 { one } else { several })
    }

    /// A point in time.
    fn time(&mut self, time: &str) -> &mut Page {
        self.raw("<time datetime=\"").text(time).raw("\">").text(&moment(time)).raw("</time>")
    }

    /// A span of time.
    fn span(&mut self, seconds: u32) -> &mut Page {
        match seconds {
            0 => self.raw("no time"),
            seconds if seconds % 86_400 == 0 => self.count(u64::from(seconds / 86_400), "day", "days"),
            seconds if seconds % 3_600 == 0 => self.count(u64::from(seconds / 3_600), "hour", "hours"),
            seconds if seconds % 60 == 0 => self.count(u64::from(seconds / 60), "minute", "minutes"),
            seconds => self.count(u64::from(seconds), "second", "seconds"),
        }
    }

    fn tag(&mut self, class: &'static str, text: &str) -> &mut Page {
        self.raw("<span class=\"tag ").raw(class).raw("\">").text(text).raw("</span>")
    }

    fn heading(&mut self, text: &'static str) -> &mut Page {
        self.raw("<h2>").raw(text).raw("</h2>\n")
    }

    /// The document as data. `<`, `>` and `&` are escaped as JSON escapes them, so nothing in it ends the element.
    fn data(&mut self, document: &Document) -> &mut Page {
        let json = serde_json::to_string(document).unwrap_or_default();
        self.raw(DATA);
        for letter in json.chars() {
            match letter {
                '<' => self.0.push_str("\\u003c"),
                '>' => self.0.push_str("\\u003e"),
                '&' => self.0.push_str("\\u0026"),
                letter => self.0.push(letter),
            }
        }
        self.raw(DATA_END).raw("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_no_element_and_no_attribute_and_hides_nothing() {
        let mut page = Page::default();
        page.text("</script><b a=\"x\" b='y'>&\u{202e}\u{7}\n");
        assert_eq!(page.0, "&lt;/script&gt;&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;\\u{202e}\\u{7}\n");
    }

    #[test]
    fn spans_are_in_the_largest_unit_that_fits() {
        for (seconds, expected) in [(3_600, "1 hour"), (5_400, "90 minutes"), (61, "61 seconds"), (172_800, "2 days")] {
            assert_eq!(Page::default().span(seconds).0, expected);
        }
    }
}
