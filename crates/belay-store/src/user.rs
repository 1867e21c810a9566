//! People.

use crate::{Look, StoreError, Writing, row};
use belay_model::{Name, Principal, Role, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;

/// A person, without any secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The login.
    pub name: Name,
    /// What they may do in Belay.
    pub roles: Vec<Role>,
    /// The groups that rules speak of.
    pub groups: Vec<Name>,
    /// A disabled person can do nothing.
    pub disabled: bool,
    /// Whether a password is set; without one only API tokens let them in.
    pub has_password: bool,
    /// When they were added.
    pub created_at: Timestamp,
}

impl User {
    /// The person as one who acts.
    pub fn principal(&self) -> Principal {
        Principal {
            name: self.name.clone(),
            roles: self.roles.clone(),
            groups: self.groups.clone(),
            disabled: self.disabled,
        }
    }
}

impl Look<'_> {
    /// Everybody, by name.
    pub async fn users(&mut self) -> Result<Vec<User>, StoreError> {
        let rows = sqlx::query("SELECT * FROM users ORDER BY name").fetch_all(&mut *self.0).await?;
        rows.iter().map(user).collect()
    }

    /// One person.
    pub async fn user(&mut self, name: &Name) -> Result<Option<User>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM users WHERE name = ?1").bind(name.as_str()).fetch_optional(&mut *self.0).await?;
        row.as_ref().map(user).transpose()
    }

    /// Whether there is anybody at all.
    pub async fn has_users(&mut self) -> Result<bool, StoreError> {
        let some: i64 = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users)").fetch_one(&mut *self.0).await?;
        Ok(some != 0)
    }

    /// The hash of a person's password, if one is set.
    pub async fn password_hash(&mut self, name: &Name) -> Result<Option<String>, StoreError> {
        let hash: Option<Option<String>> = sqlx::query_scalar("SELECT password_hash FROM users WHERE name = ?1")
            .bind(name.as_str())
            .fetch_optional(&mut *self.0)
            .await?;
        Ok(hash.flatten())
    }
}

impl Writing {
    /// Adds a person.
    pub async fn add_user(&mut self, user: &User, password_hash: Option<&str>) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO users (name, password_hash, roles, user_groups, disabled, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(user.name.as_str())
        .bind(password_hash)
        .bind(row::json("users", &user.roles)?)
        .bind(row::json("users", &user.groups)?)
        .bind(user.disabled)
        .bind(user.created_at.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Writes roles, groups and whether the person is disabled.
    pub async fn save_user(&mut self, user: &User) -> Result<(), StoreError> {
        sqlx::query("UPDATE users SET roles = ?2, user_groups = ?3, disabled = ?4 WHERE name = ?1")
            .bind(user.name.as_str())
            .bind(row::json("users", &user.roles)?)
            .bind(row::json("users", &user.groups)?)
            .bind(user.disabled)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Writes the hash of a new password.
    pub async fn save_password_hash(&mut self, name: &Name, hash: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE users SET password_hash = ?2 WHERE name = ?1")
            .bind(name.as_str())
            .bind(hash)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn user(row: &SqliteRow) -> Result<User, StoreError> {
    let columns = row::Columns { table: "users", row };
    Ok(User {
        name: columns.parsed("name")?,
        roles: columns.json("roles")?,
        groups: columns.json("user_groups")?,
        disabled: columns.flag("disabled")?,
        has_password: columns.text_or_null("password_hash")?.is_some(),
        created_at: columns.time("created_at")?,
    })
}
