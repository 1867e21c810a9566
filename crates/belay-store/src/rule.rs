//! Rules.

use crate::{Look, StoreError, Writing, row};
use belay_model::{Hours, Name, Rule, RuleId, Span, Timestamp};
use sqlx::sqlite::SqliteRow;

impl Look<'_> {
    /// The rules in force, in the order they are tried.
    pub async fn rules(&mut self) -> Result<Vec<Rule>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM rules WHERE removed_at IS NULL ORDER BY id").fetch_all(&mut *self.0).await?;
        rows.iter().map(rule).collect()
    }
}

impl Writing {
    /// Adds a rule behind the others and returns it with its id.
    pub async fn add_rule(&mut self, rule: Rule) -> Result<Rule, StoreError> {
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO rules (target, user_group, from_minute, to_minute, can_read, can_write, can_direct, can_all,
                                max_seconds, approvals, extendable, record_values, max_changed_rows)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) RETURNING id",
        )
        .bind(rule.target.as_ref().map(Name::as_str))
        .bind(rule.group.as_ref().map(Name::as_str))
        .bind(rule.hours.map(|hours| i64::from(hours.from_minute)))
        .bind(rule.hours.map(|hours| i64::from(hours.to_minute)))
        .bind(rule.effects.read)
        .bind(rule.effects.write)
        .bind(rule.effects.direct)
        .bind(rule.effects.all)
        .bind(i64::from(rule.max_duration.seconds()))
        .bind(i64::from(rule.approvals))
        .bind(rule.extendable)
        .bind(rule.record_values)
        .bind(i64::try_from(rule.max_changed_rows).unwrap_or(i64::MAX))
        .fetch_one(self.connection())
        .await?;
        Ok(Rule { id: RuleId(id), ..rule })
    }

    /// Takes a rule out of force.
    pub async fn remove_rule(&mut self, id: RuleId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE rules SET removed_at = ?2 WHERE id = ?1")
            .bind(id.0)
            .bind(now.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn rule(row: &SqliteRow) -> Result<Rule, StoreError> {
    let columns = row::Columns { table: "rules", row };
    let hours = match columns.integer_or_null("from_minute")? {
        Some(_) => Some(Hours { from_minute: columns.small("from_minute")?, to_minute: columns.small("to_minute")? }),
        None => None,
    };
    Ok(Rule {
        id: RuleId(columns.integer("id")?),
        target: columns.parsed_or_null("target")?,
        group: columns.parsed_or_null("user_group")?,
        hours,
        effects: columns.effects()?,
        max_duration: Span::from_seconds(columns.small("max_seconds")?),
        max_changed_rows: columns.small("max_changed_rows")?,
        approvals: columns.small("approvals")?,
        extendable: columns.flag("extendable")?,
        record_values: columns.flag("record_values")?,
    })
}
