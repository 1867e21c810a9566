//! What is found while one statement is walked.

use belay_model::{Code, Effect, Relation, Statement};
use pg_query::protobuf::RangeVar;

/// Relations beyond this many are kept without looking whether they are there already.
const DISTINCT: usize = 32;

/// Facts about one statement, growing worse only.
#[derive(Debug)]
pub(super) struct Findings {
    effect: Effect,
    because: Option<String>,
    code: Option<Code>,
    relations: Vec<Relation>,
    by_shape: bool,
}

impl Findings {
    /// Of a statement that so far does only `effect`.
    pub(super) fn new(effect: Effect) -> Findings {
        Findings { effect, because: None, code: None, relations: Vec::new(), by_shape: true }
    }

    /// The statement has at least this effect. Of several reasons to refuse, the client is told the first.
    pub(super) fn raise(&mut self, effect: Effect, code: Option<Code>, because: impl Into<Option<String>>) {
        // What names something unknown cannot run at all, under a grant of writes neither: that is what to say.
        let unknown = code == Some(Code::UnknownName) && self.code == Some(Code::WriteInReadOnly);
        if (!self.is_refused() || unknown) && effect > Effect::Read {
            self.code = code;
            self.because = because.into();
        }
        self.effect = self.effect.max(effect);
    }

    /// Whether anything was found that a read-only session refuses.
    pub(super) fn is_refused(&self) -> bool {
        self.effect > Effect::Read
    }

    /// A literal was looked at: texts of the same shape may do something else.
    pub(super) fn depends_on_a_literal(&mut self) {
        self.by_shape = false;
    }

    /// Whether every text of this shape does the same.
    pub(super) fn holds_by_shape(&self) -> bool {
        self.by_shape
    }

    pub(super) fn relation(&mut self, range: &RangeVar) {
        let schema = (!range.schemaname.is_empty()).then(|| range.schemaname.clone());
        self.named(schema, range.relname.clone());
    }

    pub(super) fn named(&mut self, schema: Option<String>, name: String) {
        let relation = Relation { schema, name };
        if self.relations.len() >= DISTINCT || !self.relations.contains(&relation) {
            self.relations.push(relation);
        }
    }

    pub(super) fn into_statement(self, verb: impl Into<String>) -> Statement {
        Statement {
            relations: self.relations,
            because: self.because,
            code: self.code,
            ..Statement::new(self.effect, verb)
        }
    }
}
