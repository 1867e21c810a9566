//! The control sides of the targets, one each, kept warm.

use crate::desk::Surveyor;
use belay_engine::{BoxFuture, Control, ControlError, Engine, Feasibility, RoleSpec, TargetAccess};
use belay_model::{GrantId, Name};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// See the module.
pub struct Targets {
    engine: Arc<dyn Engine>,
    instance: String,
    controls: Mutex<HashMap<Name, Known>>,
}

/// A control side, and what it was made for.
struct Known {
    access: TargetAccess,
    control: Arc<dyn Control>,
}

impl Surveyor for Targets {
    fn feasible<'a>(
        &'a self,
        access: &'a TargetAccess,
        spec: &'a RoleSpec,
    ) -> BoxFuture<'a, Result<Feasibility, ControlError>> {
        Box::pin(async move { self.control(access).feasible(spec).await })
    }
}

impl Targets {
    /// For the gateway with this id.
    pub fn new(engine: Arc<dyn Engine>, instance: &str) -> Targets {
        Targets { engine, instance: instance.to_owned(), controls: Mutex::default() }
    }

    /// The control side of a target; made anew when its address or secret has changed.
    pub fn control(&self, access: &TargetAccess) -> Arc<dyn Control> {
        let mut controls = self.controls.lock().unwrap_or_else(PoisonError::into_inner);
        match controls.get(&access.target.name) {
            Some(known) if known.access.target == access.target && known.access.password == access.password => {
                Arc::clone(&known.control)
            }
            _ => {
                let control = self.engine.control(access);
                let known = Known { access: access.clone(), control: Arc::clone(&control) };
                controls.insert(access.target.name.clone(), known);
                control
            }
        }
    }

    /// What the names of this gateway's roles begin with.
    pub fn role_prefix(&self) -> String {
        format!("belay_{}_", self.instance)
    }

    /// The role of a grant.
    pub fn role_name(&self, grant: GrantId) -> String {
        format!("{}{grant}", self.role_prefix())
    }

    /// The grant whose role this is, if it is one of this gateway's.
    pub fn grant_of(&self, role: &str) -> Option<GrantId> {
        role.strip_prefix(&self.role_prefix())?.parse().ok()
    }
}
