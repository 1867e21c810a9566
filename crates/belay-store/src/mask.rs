//! Masks of a target's columns.

use crate::{Look, StoreError, Writing, row};
use belay_model::{Mask, MaskId, Name, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;

/// A mask in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskRecord {
    /// Its id.
    pub id: MaskId,
    /// The target.
    pub target: Name,
    /// What is masked, and how.
    pub mask: Mask,
    /// When it was made.
    pub made_at: Timestamp,
}

/// The masks of `g.target` as JSON, for queries of grants: a grant is never loaded without them.
pub(crate) const OF_GRANT: &str = "(SELECT json_group_array(json_object('column', m.resource, 'kind', json(m.kind)))
    FROM (SELECT resource, kind FROM masks WHERE target = g.target AND removed_at IS NULL ORDER BY resource) m) AS masks";

impl Look<'_> {
    /// The masks in force, of one target or of all, in the order they were made.
    pub async fn masks(&mut self, target: Option<&Name>) -> Result<Vec<MaskRecord>, StoreError> {
        let sql = "SELECT * FROM masks WHERE removed_at IS NULL AND (?1 IS NULL OR target = ?1) ORDER BY target, id";
        let rows = sqlx::query(sql).bind(target.map(Name::as_str)).fetch_all(&mut *self.0).await?;
        rows.iter().map(record).collect()
    }

    /// One mask in force.
    pub async fn mask(&mut self, id: MaskId) -> Result<Option<MaskRecord>, StoreError> {
        let sql = "SELECT * FROM masks WHERE id = ?1 AND removed_at IS NULL";
        let row = sqlx::query(sql).bind(id.0).fetch_optional(&mut *self.0).await?;
        row.as_ref().map(record).transpose()
    }
}

impl Writing {
    /// Adds a mask of a column that has none.
    pub async fn add_mask(&mut self, target: &Name, mask: &Mask, now: Timestamp) -> Result<MaskRecord, StoreError> {
        let row =
            sqlx::query("INSERT INTO masks (target, resource, kind, made_at) VALUES (?1, ?2, ?3, ?4) RETURNING *")
                .bind(target.as_str())
                .bind(mask.column.to_string())
                .bind(row::json("masks", &mask.kind)?)
                .bind(now.0)
                .fetch_one(self.connection())
                .await?;
        record(&row)
    }

    /// Takes a mask out of force.
    pub async fn remove_mask(&mut self, id: MaskId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE masks SET removed_at = ?2 WHERE id = ?1 AND removed_at IS NULL")
            .bind(id.0)
            .bind(now.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn record(row: &SqliteRow) -> Result<MaskRecord, StoreError> {
    let columns = row::Columns { table: "masks", row };
    let mask = Mask { column: columns.parsed("resource")?, kind: columns.json("kind")? };
    Ok(MaskRecord {
        id: MaskId(columns.integer("id")?),
        target: columns.parsed("target")?,
        mask,
        made_at: columns.time("made_at")?,
    })
}
