//! `current_setting`, which does what SHOW does.

use super::{Walk, set_config};
use crate::classify::shown_setting;
use belay_model::{Code, Effect};
use pg_query::protobuf::Node;

impl<'a> Walk<'a> {
    /// `current_setting(name, missing_ok)`: the name has to be there to be read.
    pub(super) fn shows_setting(&mut self, args: &'a [Node]) {
        self.findings.depends_on_a_literal();
        // What `pg_settings` names it shows itself. It has no settings that only applications know.
        if args.first().is_some_and(|name| self.is_catalog_column(name, "pg_settings", "name")) {
            return;
        }
        if let (Some(parameter), Some(shown)) = (args.first().and_then(set_config::parameter), &mut self.shown_settings)
        {
            shown.push(parameter);
            return;
        }
        let name = args.first().and_then(|name| set_config::text(name).or_else(|| self.setting_of_column(name)));
        let because = match name {
            Some(name) if shown_setting::may_show(name) => return,
            Some(name) => shown_setting::why(name),
            None => "it shows a setting that the text does not name".to_owned(),
        };
        self.findings.raise(Effect::Privilege, Some(Code::Privilege), because);
    }
}
