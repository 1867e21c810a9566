//! How to check the page.

use super::Page;
use crate::Document;

pub(super) fn proof(page: &mut Page, document: &Document) {
    page.heading("How to check this");
    let Some(proof) = &document.proof else {
        page.raw(
            "<p class=\"note bad\">There is no proof here: the ledger that this was made of has no signed \
            checkpoint.</p>\n",
        );
        return;
    };
    page.raw("<p>Every record behind this page is in it, byte for byte, with a proof that leads to the signed state of the \
        ledger below. Whoever has the ledger&#39;s public key checks all of that with one command, without a server:</p>\n");
    page.raw("<pre class=\"note warn\">").text(&proof.verify).raw("</pre>\n");
    page.raw(
        "<p>It fails if a record was changed or invented, if the text of this page is not what the records say, or if \
        the signature is not right. ",
    );
    page.raw(if document.signature.is_some() {
        "The server that made this page has signed it as a whole: it says that nothing was left out, and that the values \
         before and after are those that it keeps."
    } else {
        "That no record was left out is shown by comparing it with the files of the ledger: add <code>--dir DIR</code>."
    });
    page.raw("</p>\n<h3>The signed state of the ledger</h3>\n<pre>").text(&proof.checkpoint).raw("</pre>\n");
    page.raw("<h3>Records</h3>\n<p class=\"fine soft\">");
    let mut from = 0;
    let records = &document.records;
    // Runs of numbers, each told by its ends.
    while let Some(first) = records.get(from) {
        let mut to = from;
        while records.get(to + 1).is_some_and(|next| records.get(to).is_some_and(|here| next.record == here.record + 1))
        {
            to += 1;
        }
        page.raw(if from == 0 { "" } else { ", " }).number(first.record);
        if let Some(last) = records.get(to).filter(|_| to > from) {
            page.raw("&#8211;").number(last.record);
        }
        from = to + 1;
    }
    page.raw("</p>\n");
}
