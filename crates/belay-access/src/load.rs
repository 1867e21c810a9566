//! From texts to a set of policies that is known to be right, or to errors with file and line. Reads no file itself.

use crate::place::Place;
use crate::policy::{Described, Named, describe};
use belay_model::Name;
use cedar_policy::{Authorizer, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The schema that every policy is checked against.
pub const SCHEMA: &str = include_str!("../belay.cedarschema");
/// The default policy: what holds where nobody has written one.
pub const DEFAULT: Source<'static> = Source { file: "default.cedar", text: include_str!("../default.cedar") };

const POLICIES_MOST: usize = 500;
const BYTES_MOST: usize = 1024 * 1024;
/// More errors help nobody.
const ERRORS_MOST: usize = 50;

/// The text of a policy file, and what errors call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// One thing that is wrong in a policy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LoadError {
    /// The file.
    pub file: String,
    /// The line, counted from 1, where one is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

/// Policies that passed every check.
pub struct Policies {
    pub(crate) schema: Schema,
    pub(crate) set: PolicySet,
    pub(crate) authorizer: Authorizer,
    pub(crate) described: BTreeMap<String, Described>,
    /// Every place that a policy names, with the id of one that does.
    pub(crate) places: BTreeMap<Place, String>,
    /// Every group that a policy names.
    pub(crate) groups: BTreeSet<Name>,
    order: Vec<String>,
    hash: String,
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies").field("ids", &self.order).field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl Policies {
    /// The default policy alone.
    pub fn only_default() -> Result<Policies, Vec<LoadError>> {
        Policies::load(&[DEFAULT])
    }

    /// Reads and checks everything; in force together or not at all.
    pub fn load(sources: &[Source<'_>]) -> Result<Policies, Vec<LoadError>> {
        let schema = Schema::from_cedarschema_str(SCHEMA).map(|(schema, _)| schema).map_err(|error| {
            vec![LoadError { file: "belay.cedarschema".to_owned(), line: None, message: one_line(&error) }]
        })?;
        let mut loading = Loading::new(schema);
        let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
        if bytes > BYTES_MOST {
            loading.error(sources.first(), None, "policies are larger than 1 MiB together".to_owned());
        } else {
            for source in sources {
                loading.file(*source);
            }
        }
        loading.done(sources)
    }

    /// Every policy, in the order of files and lines.
    pub fn described(&self) -> impl Iterator<Item = &Described> {
        self.order.iter().filter_map(|id| self.described.get(id))
    }

    /// SHA-256 over names and texts of the files, in hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

struct Loading {
    validator: Validator,
    schema: Schema,
    set: PolicySet,
    described: BTreeMap<String, Described>,
    places: BTreeMap<Place, String>,
    groups: BTreeSet<Name>,
    order: Vec<String>,
    errors: Vec<LoadError>,
}

impl Loading {
    fn new(schema: Schema) -> Loading {
        Loading {
            validator: Validator::new(schema.clone()),
            schema,
            set: PolicySet::new(),
            described: BTreeMap::new(),
            places: BTreeMap::new(),
            groups: BTreeSet::new(),
            order: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn error(&mut self, source: Option<&Source<'_>>, line: Option<usize>, message: String) {
        if self.errors.len() < ERRORS_MOST {
            let file = source.map_or("policies", |source| source.file).to_owned();
            self.errors.push(LoadError { file, line, message });
        }
    }

    fn file(&mut self, source: Source<'_>) {
        let set: PolicySet = match source.text.parse() {
            Ok(set) => set,
            Err(errors) => return self.unreadable(source, &errors),
        };
        if set.num_of_templates() > 0 {
            return self.error(Some(&source), None, "templates (`?principal`, `?resource`) cannot be used".to_owned());
        }
        let result = self.validator.validate(&set, ValidationMode::Strict);
        for error in result.validation_errors() {
            self.error(Some(&source), line(error, source), said(error));
        }
        for warning in result.validation_warnings() {
            self.error(Some(&source), line(warning, source), said(warning));
        }
        for (policy, line) in in_order(&set, source) {
            self.policy(&policy, source, line);
        }
    }

    fn unreadable(&mut self, source: Source<'_>, errors: &cedar_policy::ParseErrors) {
        for error in errors.iter() {
            self.error(Some(&source), line(error, source), said(error));
        }
    }

    fn policy(&mut self, policy: &Policy, source: Source<'_>, line: usize) {
        let (described, Named { places, groups }) = match describe(policy, source.file, line) {
            Ok(described) => described,
            Err(message) => return self.error(Some(&source), Some(line), message),
        };
        let id = described.id.clone();
        if let Some(other) = self.described.get(&id) {
            let message = format!("there is a policy `{id}` already: {}:{}", other.file, other.line);
            return self.error(Some(&source), Some(line), message);
        }
        if self.order.len() >= POLICIES_MOST {
            return self.error(Some(&source), Some(line), format!("more than {POLICIES_MOST} policies"));
        }
        if let Err(error) = self.set.add(policy.new_id(PolicyId::new(&id))) {
            return self.error(Some(&source), Some(line), said(&error));
        }
        for place in places {
            self.places.entry(place).or_insert_with(|| id.clone());
        }
        self.groups.extend(groups);
        self.order.push(id.clone());
        self.described.insert(id, described);
    }

    fn done(self, sources: &[Source<'_>]) -> Result<Policies, Vec<LoadError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let mut hash = Sha256::new();
        for source in sources {
            for part in [source.file, source.text] {
                hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                hash.update(part);
            }
        }
        Ok(Policies {
            schema: self.schema,
            set: self.set,
            authorizer: Authorizer::new(),
            described: self.described,
            places: self.places,
            groups: self.groups,
            order: self.order,
            hash: hex::encode(hash.finalize()),
        })
    }
}

/// The policies of a file in its order, with the line each begins on.
fn in_order(set: &PolicySet, source: Source<'_>) -> Vec<(Policy, usize)> {
    // The parser numbers them `policy0`, `policy1`, ...
    let number = |policy: &Policy| policy.id().to_string().trim_start_matches("policy").parse().unwrap_or(usize::MAX);
    let mut policies: Vec<Policy> = set.policies().cloned().collect();
    policies.sort_by_key(number);
    let mut from = 0;
    let mut found = Vec::with_capacity(policies.len());
    for policy in policies {
        let text = policy.to_string();
        let at = source.text.get(from..).and_then(|rest| rest.find(&text)).map_or(from, |offset| from + offset);
        found.push((policy, line_at(source.text, at)));
        from = at;
        if source.text.get(at..).is_some_and(|rest| rest.starts_with(&text)) {
            from += text.len();
        }
    }
    found
}

fn line(error: &dyn Diagnostic, source: Source<'_>) -> Option<usize> {
    let first = error.labels()?.next()?;
    Some(line_at(source.text, first.offset()))
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// What Cedar says of an error, in one line, with its help.
fn said(error: &(impl Diagnostic + ?Sized)) -> String {
    let text = one_line(error);
    match error.help() {
        Some(help) => format!("{text} ({})", one_line(&help)),
        None => text,
    }
}

fn one_line(text: &(impl fmt::Display + ?Sized)) -> String {
    // Cedar names the policy by its number in the file; the line says more.
    let text = text.to_string();
    let text = match text.strip_prefix("for policy `policy").and_then(|rest| rest.split_once("`, ")) {
        Some((_, rest)) => rest.to_owned(),
        None => text,
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
