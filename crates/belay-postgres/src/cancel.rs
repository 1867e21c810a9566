//! Cancel keys: what a client may send to stop its statement, and where that goes.

use crate::wire::CancelKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a cancel request is sent on.
#[derive(Debug, Clone)]
pub(crate) struct CancelRoute {
    /// Host or socket directory of the target.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// The target's own key.
    pub(crate) key: CancelKey,
}

/// The keys of all live connections of one engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct CancelKeys {
    routes: Arc<Mutex<HashMap<CancelKey, CancelRoute>>>,
}

/// Keeps a key known; dropping it forgets the key.
#[derive(Debug)]
pub(crate) struct Registration {
    keys: CancelKeys,
    key: CancelKey,
}

impl CancelKeys {
    /// Makes `key` known.
    pub(crate) fn register(&self, key: CancelKey, route: CancelRoute) -> Registration {
        self.lock().insert(key.clone(), route);
        Registration { keys: self.clone(), key }
    }

    /// Where `key` leads; `None` for a wrong key, about which the client learns nothing.
    pub(crate) fn route(&self, key: &CancelKey) -> Option<CancelRoute> {
        self.lock().get(key).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CancelKey, CancelRoute>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.keys.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_somewhere_only_while_its_connection_lives() {
        let keys = CancelKeys::default();
        let key = CancelKey { process: 1, key: vec![1, 2, 3, 4] };
        let route = CancelRoute { host: "h".into(), port: 1, key: CancelKey { process: 9, key: vec![0; 4] } };
        let registration = keys.register(key.clone(), route);
        assert_eq!(keys.route(&key).unwrap().key.process, 9);
        assert!(keys.route(&CancelKey { process: 1, key: vec![1, 2, 3, 5] }).is_none());
        drop(registration);
        assert!(keys.route(&key).is_none());
    }
}
