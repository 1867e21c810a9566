//! Cedar's entities: people, and the places they ask for.

use crate::place::chain;
use crate::question::Failure;
use belay_model::{Name, Principal, Resource};
use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid};
use std::collections::HashSet;

pub(crate) fn uid(kind: &str, id: &str) -> Result<EntityUid, Failure> {
    let kind: EntityTypeName = kind.parse().map_err(Failure::of)?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

pub(crate) fn user(name: &Name) -> Result<EntityUid, Failure> {
    uid("User", name.as_str())
}

/// A person in their groups and roles.
pub(crate) fn person(who: &Principal) -> Result<Entity, Failure> {
    let groups = who.groups.iter().map(|group| uid("Group", group.as_str()));
    let roles = who.roles.iter().map(|role| uid("Role", role.word()));
    Ok(Entity::new_no_attrs(user(&who.name)?, groups.chain(roles).collect::<Result<HashSet<_>, _>>()?))
}

/// What a resource is, with everything it lies in; the first is the resource itself.
pub(crate) fn places(target: &Name, resource: &Resource) -> Result<Vec<Entity>, Failure> {
    let uids: Vec<EntityUid> =
        chain(target, resource).into_iter().map(|(kind, path)| uid(kind.word(), &path)).collect::<Result<_, _>>()?;
    let parent = |at: usize| uids.get(at + 1).cloned().into_iter().collect();
    Ok(uids.iter().enumerate().map(|(at, uid)| Entity::new_no_attrs(uid.clone(), parent(at))).collect())
}
