//! Statements that define things, say who may do what, or act on the server.
//!
//! Their insides are not walked: all of them are refused.

use super::findings::Findings;
use super::walk;
use belay_model::{Code, Effect, Statement};
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ObjectType, RangeVar};

/// The statement, where this node is one of these.
pub(super) fn of(kind: &NodeEnum) -> Option<Statement> {
    let (effect, code, verb) = if let Some(verb) = privilege(kind) {
        (Effect::Privilege, Code::Privilege, verb)
    } else {
        (Effect::Definition, Code::Definition, by_object(kind).or_else(|| plain(kind).map(str::to_owned))?)
    };
    let mut findings = Findings::new(Effect::Session);
    findings.raise(effect, Some(code), None);
    name_relations(&mut findings, kind);
    Some(findings.into_statement(verb))
}

/// Who may do what, other sessions, the server, and what lets others in.
fn privilege(kind: &NodeEnum) -> Option<String> {
    let verb = match kind {
        NodeEnum::GrantStmt(grant) if grant.is_grant => "GRANT",
        NodeEnum::GrantRoleStmt(grant) if grant.is_grant => "GRANT",
        NodeEnum::GrantStmt(_) | NodeEnum::GrantRoleStmt(_) => "REVOKE",
        NodeEnum::AlterDefaultPrivilegesStmt(_) => "ALTER DEFAULT PRIVILEGES",
        NodeEnum::AlterOwnerStmt(alter) => return Some(format!("ALTER {} OWNER", object(alter.object_type))),
        NodeEnum::CreateRoleStmt(_) => "CREATE ROLE",
        NodeEnum::AlterRoleStmt(_) | NodeEnum::AlterRoleSetStmt(_) => "ALTER ROLE",
        NodeEnum::DropRoleStmt(_) => "DROP ROLE",
        NodeEnum::DropOwnedStmt(_) => "DROP OWNED",
        NodeEnum::ReassignOwnedStmt(_) => "REASSIGN OWNED",
        NodeEnum::CreatePolicyStmt(_) => "CREATE POLICY",
        NodeEnum::AlterPolicyStmt(_) => "ALTER POLICY",
        NodeEnum::SecLabelStmt(_) => "SECURITY LABEL",
        NodeEnum::AlterSystemStmt(_) => "ALTER SYSTEM",
        NodeEnum::AlterDatabaseStmt(_)
        | NodeEnum::AlterDatabaseSetStmt(_)
        | NodeEnum::AlterDatabaseRefreshCollStmt(_) => "ALTER DATABASE",
        NodeEnum::CreateUserMappingStmt(_) => "CREATE USER MAPPING",
        NodeEnum::AlterUserMappingStmt(_) => "ALTER USER MAPPING",
        NodeEnum::DropUserMappingStmt(_) => "DROP USER MAPPING",
        NodeEnum::CreatePublicationStmt(_) => "CREATE PUBLICATION",
        NodeEnum::AlterPublicationStmt(_) => "ALTER PUBLICATION",
        NodeEnum::CreateSubscriptionStmt(_) => "CREATE SUBSCRIPTION",
        NodeEnum::AlterSubscriptionStmt(_) => "ALTER SUBSCRIPTION",
        NodeEnum::DropSubscriptionStmt(_) => "DROP SUBSCRIPTION",
        NodeEnum::LoadStmt(_) => "LOAD",
        NodeEnum::CheckPointStmt(_) => "CHECKPOINT",
        _ => return None,
    };
    Some(verb.to_owned())
}

/// Verbs that one node shares between many kinds of objects.
fn by_object(kind: &NodeEnum) -> Option<String> {
    let (verb, object_type) = match kind {
        NodeEnum::DropStmt(drop) => ("DROP", drop.remove_type),
        NodeEnum::AlterTableStmt(alter) => ("ALTER", alter.objtype),
        NodeEnum::RenameStmt(rename) => ("ALTER", rename.rename_type),
        NodeEnum::AlterObjectSchemaStmt(alter) => ("ALTER", alter.object_type),
        NodeEnum::AlterObjectDependsStmt(alter) => ("ALTER", alter.object_type),
        NodeEnum::AlterFunctionStmt(alter) => ("ALTER", alter.objtype),
        NodeEnum::DefineStmt(define) => ("CREATE", define.kind),
        NodeEnum::CreateTableAsStmt(create) => ("CREATE", create.objtype),
        NodeEnum::CommentStmt(comment) => ("COMMENT ON", comment.objtype),
        _ => return None,
    };
    let suffix = if matches!(kind, NodeEnum::CreateTableAsStmt(_)) { " AS" } else { "" };
    Some(format!("{verb} {}{suffix}", object(object_type)))
}

/// Verbs of nodes that are for one kind of object.
fn plain(kind: &NodeEnum) -> Option<&'static str> {
    create(kind).or_else(|| alter(kind)).or_else(|| maintain(kind))
}

fn create(kind: &NodeEnum) -> Option<&'static str> {
    Some(match kind {
        NodeEnum::CreateStmt(_) => "CREATE TABLE",
        NodeEnum::CreateSchemaStmt(_) => "CREATE SCHEMA",
        NodeEnum::CreateSeqStmt(_) => "CREATE SEQUENCE",
        NodeEnum::IndexStmt(_) => "CREATE INDEX",
        NodeEnum::ViewStmt(_) => "CREATE VIEW",
        NodeEnum::CreateFunctionStmt(create) if create.is_procedure => "CREATE PROCEDURE",
        NodeEnum::CreateFunctionStmt(_) => "CREATE FUNCTION",
        NodeEnum::CreateTrigStmt(_) => "CREATE TRIGGER",
        NodeEnum::CreateEventTrigStmt(_) => "CREATE EVENT TRIGGER",
        NodeEnum::RuleStmt(_) => "CREATE RULE",
        NodeEnum::CreateDomainStmt(_) => "CREATE DOMAIN",
        NodeEnum::CompositeTypeStmt(_) | NodeEnum::CreateEnumStmt(_) | NodeEnum::CreateRangeStmt(_) => "CREATE TYPE",
        NodeEnum::CreateStatsStmt(_) => "CREATE STATISTICS",
        NodeEnum::CreateExtensionStmt(_) => "CREATE EXTENSION",
        NodeEnum::CreateFdwStmt(_) => "CREATE FOREIGN DATA WRAPPER",
        NodeEnum::CreateForeignServerStmt(_) => "CREATE SERVER",
        NodeEnum::CreateForeignTableStmt(_) => "CREATE FOREIGN TABLE",
        NodeEnum::ImportForeignSchemaStmt(_) => "IMPORT FOREIGN SCHEMA",
        NodeEnum::CreateAmStmt(_) => "CREATE ACCESS METHOD",
        NodeEnum::CreatePlangStmt(_) => "CREATE LANGUAGE",
        NodeEnum::CreateOpClassStmt(_) => "CREATE OPERATOR CLASS",
        NodeEnum::CreateOpFamilyStmt(_) => "CREATE OPERATOR FAMILY",
        NodeEnum::CreateConversionStmt(_) => "CREATE CONVERSION",
        NodeEnum::CreateCastStmt(_) => "CREATE CAST",
        NodeEnum::CreateTransformStmt(_) => "CREATE TRANSFORM",
        NodeEnum::CreatedbStmt(_) => "CREATE DATABASE",
        NodeEnum::CreateTableSpaceStmt(_) => "CREATE TABLESPACE",
        _ => return None,
    })
}

fn alter(kind: &NodeEnum) -> Option<&'static str> {
    Some(match kind {
        NodeEnum::AlterSeqStmt(_) => "ALTER SEQUENCE",
        NodeEnum::AlterDomainStmt(_) => "ALTER DOMAIN",
        NodeEnum::AlterEnumStmt(_) | NodeEnum::AlterTypeStmt(_) => "ALTER TYPE",
        NodeEnum::AlterStatsStmt(_) => "ALTER STATISTICS",
        NodeEnum::AlterCollationStmt(_) => "ALTER COLLATION",
        NodeEnum::AlterExtensionStmt(_) | NodeEnum::AlterExtensionContentsStmt(_) => "ALTER EXTENSION",
        NodeEnum::AlterFdwStmt(_) => "ALTER FOREIGN DATA WRAPPER",
        NodeEnum::AlterForeignServerStmt(_) => "ALTER SERVER",
        NodeEnum::AlterEventTrigStmt(_) => "ALTER EVENT TRIGGER",
        NodeEnum::AlterOpFamilyStmt(_) => "ALTER OPERATOR FAMILY",
        NodeEnum::AlterOperatorStmt(_) => "ALTER OPERATOR",
        NodeEnum::AlterTsdictionaryStmt(_) => "ALTER TEXT SEARCH DICTIONARY",
        NodeEnum::AlterTsconfigurationStmt(_) => "ALTER TEXT SEARCH CONFIGURATION",
        NodeEnum::AlterTableSpaceOptionsStmt(_) => "ALTER TABLESPACE",
        NodeEnum::AlterTableMoveAllStmt(_) => "ALTER ALL IN TABLESPACE",
        NodeEnum::DropTableSpaceStmt(_) => "DROP TABLESPACE",
        NodeEnum::DropdbStmt(_) => "DROP DATABASE",
        _ => return None,
    })
}

fn maintain(kind: &NodeEnum) -> Option<&'static str> {
    Some(match kind {
        NodeEnum::VacuumStmt(vacuum) if vacuum.is_vacuumcmd => "VACUUM",
        NodeEnum::VacuumStmt(_) => "ANALYZE",
        NodeEnum::ClusterStmt(_) => "CLUSTER",
        NodeEnum::ReindexStmt(_) => "REINDEX",
        NodeEnum::RefreshMatViewStmt(_) => "REFRESH MATERIALIZED VIEW",
        _ => return None,
    })
}

/// `ObjectTable` as `TABLE`: what a person would type.
fn object(object_type: i32) -> String {
    match ObjectType::try_from(object_type) {
        Ok(ObjectType::Undefined) | Err(_) => "object".to_owned(),
        Ok(ObjectType::ObjectFdw) => "FOREIGN DATA WRAPPER".to_owned(),
        Ok(ObjectType::ObjectForeignServer) => "SERVER".to_owned(),
        Ok(ObjectType::ObjectMatview) => "MATERIALIZED VIEW".to_owned(),
        Ok(ObjectType::ObjectStatisticExt) => "STATISTICS".to_owned(),
        Ok(ObjectType::ObjectTabconstraint | ObjectType::ObjectDomconstraint) => "CONSTRAINT".to_owned(),
        Ok(ObjectType::ObjectTsconfiguration) => "TEXT SEARCH CONFIGURATION".to_owned(),
        Ok(ObjectType::ObjectTsdictionary) => "TEXT SEARCH DICTIONARY".to_owned(),
        Ok(ObjectType::ObjectTsparser) => "TEXT SEARCH PARSER".to_owned(),
        Ok(ObjectType::ObjectTstemplate) => "TEXT SEARCH TEMPLATE".to_owned(),
        Ok(known) => known.as_str_name().trim_start_matches("OBJECT_").replace('_', " "),
    }
}

/// The relations that the client is told of.
fn name_relations(findings: &mut Findings, kind: &NodeEnum) {
    let single: Option<&RangeVar> = match kind {
        NodeEnum::CreateStmt(create) => create.relation.as_ref(),
        NodeEnum::AlterTableStmt(alter) => alter.relation.as_ref(),
        NodeEnum::IndexStmt(index) => index.relation.as_ref(),
        NodeEnum::ViewStmt(view) => view.view.as_ref(),
        NodeEnum::CreateTrigStmt(trigger) => trigger.relation.as_ref(),
        NodeEnum::CreateSeqStmt(sequence) => sequence.sequence.as_ref(),
        NodeEnum::AlterSeqStmt(sequence) => sequence.sequence.as_ref(),
        NodeEnum::RuleStmt(rule) => rule.relation.as_ref(),
        NodeEnum::RefreshMatViewStmt(refresh) => refresh.relation.as_ref(),
        NodeEnum::ClusterStmt(cluster) => cluster.relation.as_ref(),
        NodeEnum::ReindexStmt(reindex) => reindex.relation.as_ref(),
        NodeEnum::RenameStmt(rename) => rename.relation.as_ref(),
        NodeEnum::AlterObjectSchemaStmt(alter) => alter.relation.as_ref(),
        NodeEnum::AlterOwnerStmt(alter) => alter.relation.as_ref(),
        NodeEnum::CreatePolicyStmt(policy) => policy.table.as_ref(),
        NodeEnum::AlterPolicyStmt(policy) => policy.table.as_ref(),
        NodeEnum::CreateTableAsStmt(create) => create.into.as_ref().and_then(|into| into.rel.as_ref()),
        _ => None,
    };
    if let Some(relation) = single {
        findings.relation(relation);
    }
    let several: &[Node] = match kind {
        NodeEnum::VacuumStmt(vacuum) => &vacuum.rels,
        NodeEnum::DropStmt(drop) if is_relation(drop.remove_type) => &drop.objects,
        NodeEnum::GrantStmt(grant) => &grant.objects,
        _ => &[],
    };
    for node in several {
        name_relation(findings, node);
    }
}

fn name_relation(findings: &mut Findings, node: &Node) {
    match &node.node {
        Some(NodeEnum::RangeVar(relation)) => findings.relation(relation),
        Some(NodeEnum::VacuumRelation(vacuum)) => {
            if let Some(relation) = &vacuum.relation {
                findings.relation(relation);
            }
        }
        Some(NodeEnum::List(list)) => match walk::words(&list.items).as_deref() {
            Some([name]) => findings.named(None, (*name).to_owned()),
            Some([.., schema, name]) => findings.named(Some((*schema).to_owned()), (*name).to_owned()),
            _ => {}
        },
        _ => {}
    }
}

fn is_relation(object_type: i32) -> bool {
    matches!(
        ObjectType::try_from(object_type),
        Ok(ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectForeignTable
            | ObjectType::ObjectSequence
            | ObjectType::ObjectIndex)
    )
}
