//! Sealing for somebody: each patient and each call has a key, made when it is first needed and kept wrapped beside the data.
//!
//! Keys are read in the transaction that needs them and never cached: once one is destroyed, nobody opens what it sealed.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::crypto::{Sealed, SubjectKey, WrappedKey};
use crate::db::DbError;
use crate::ids::PatientId;
use crate::store::ClinicStore;

/// Whose key seals a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// What is known of a patient.
    Patient(PatientId),
    /// What a call left.
    Call(&'a str),
}

impl Subject<'_> {
    const fn kind(self) -> &'static str {
        match self {
            Self::Patient(_) => "patient",
            Self::Call(_) => "call",
        }
    }

    fn name(self) -> String {
        match self {
            Self::Patient(patient) => patient.to_string(),
            Self::Call(call_id) => call_id.to_owned(),
        }
    }
}

/// The keys that some sealed values need, as far as they exist.
#[derive(Debug, Default)]
pub(crate) struct SubjectKeys(HashMap<Uuid, SubjectKey>);

impl ClinicStore {
    /// The subject's key; made if there is none.
    pub(crate) async fn subject_key(&self, connection: &mut PgConnection, subject: Subject<'_>) -> Result<SubjectKey, DbError> {
        let name = subject.name();
        if let Some(key) = self.find_subject_key(connection, subject.kind(), &name).await? {
            return Ok(key);
        }
        let (key, wrapped) = self.keys.mint_subject_key(&self.tenant);
        let inserted = sqlx::query!(
            "INSERT INTO subject_keys (tenant_id, key_id, kind, subject, master_version, wrapped) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant_id, kind, subject) DO NOTHING",
            self.tenant.as_str(),
            wrapped.id,
            subject.kind(),
            name,
            i32::from(wrapped.master_version),
            wrapped.bytes
        )
        .execute(&mut *connection)
        .await?;
        if inserted.rows_affected() > 0 {
            return Ok(key);
        }
        // Somebody else made it in the meantime; whoever destroyed it in this very moment makes this worth another try.
        let theirs = self.find_subject_key(connection, subject.kind(), &name).await?;
        theirs.ok_or_else(|| DbError::Conflict { code: "23505".into() })
    }

    async fn find_subject_key(&self, connection: &mut PgConnection, kind: &str, subject: &str) -> Result<Option<SubjectKey>, DbError> {
        let row = sqlx::query!("SELECT key_id, master_version, wrapped FROM subject_keys WHERE kind = $1 AND subject = $2", kind, subject)
            .fetch_optional(connection)
            .await?;
        row.map(|row| self.unwrap_key(row.key_id, row.master_version, row.wrapped)).transpose()
    }

    fn unwrap_key(&self, id: Uuid, master_version: i32, bytes: Vec<u8>) -> Result<SubjectKey, DbError> {
        let wrapped = WrappedKey { id, master_version: u16::try_from(master_version).unwrap_or_default(), bytes };
        self.keys.unwrap_subject_key(&self.tenant, &wrapped).map_err(|error| DbError::unreadable("subject_keys.wrapped", &error))
    }

    /// Seals a value with the subject's key.
    pub(crate) async fn seal_for<T: Serialize + DeserializeOwned>(
        &self,
        connection: &mut PgConnection,
        subject: Subject<'_>,
        (table, column): (&str, &str),
        value: &T,
    ) -> Result<Sealed<T>, DbError> {
        let key = self.subject_key(connection, subject).await?;
        self.seal_with(&key, table, column, value)
    }

    /// Seals a value with a key that is at hand.
    pub(crate) fn seal_with<T: Serialize + DeserializeOwned>(
        &self,
        key: &SubjectKey,
        table: &str,
        column: &str,
        value: &T,
    ) -> Result<Sealed<T>, DbError> {
        Sealed::seal_with(key, &self.place(table, column), value).map_err(|error| unusable(table, column, &error))
    }

    /// The keys that these values need. A key that is gone is not among them, and the value says so when it is opened.
    pub(crate) async fn keys_of<'a>(
        &self,
        connection: &mut PgConnection,
        sealed: impl IntoIterator<Item = &'a Vec<u8>>,
    ) -> Result<SubjectKeys, DbError> {
        let wanted = sealed.into_iter().filter_map(|bytes| Sealed::<()>::from_bytes(bytes.clone()).subject_key());
        let wanted: Vec<Uuid> = wanted.collect::<BTreeSet<_>>().into_iter().collect();
        if wanted.is_empty() {
            return Ok(SubjectKeys::default());
        }
        let rows = sqlx::query!("SELECT key_id, master_version, wrapped FROM subject_keys WHERE key_id = ANY($1)", &wanted)
            .fetch_all(connection)
            .await?;
        let mut keys = HashMap::with_capacity(rows.len());
        for row in rows {
            keys.insert(row.key_id, self.unwrap_key(row.key_id, row.master_version, row.wrapped)?);
        }
        Ok(SubjectKeys(keys))
    }

    /// Opens a value, whether a subject's key sealed it or, in an earlier release, the master key.
    pub(crate) fn open_with<T: Serialize + DeserializeOwned>(
        &self,
        keys: &SubjectKeys,
        (table, column): (&str, &str),
        bytes: Vec<u8>,
    ) -> Result<T, DbError> {
        let sealed = Sealed::from_bytes(bytes);
        match sealed.subject_key().and_then(|id| keys.0.get(&id)) {
            Some(key) => sealed.open_with(key, &self.place(table, column)),
            None => sealed.open(&self.keys, &self.place(table, column)),
        }
        .map_err(|error| unusable(table, column, &error))
    }

    /// Opens one value in a transaction.
    pub(crate) async fn open_in<T: Serialize + DeserializeOwned>(
        &self,
        connection: &mut PgConnection,
        place: (&str, &str),
        bytes: Vec<u8>,
    ) -> Result<T, DbError> {
        let keys = self.keys_of(connection, [&bytes]).await?;
        self.open_with(&keys, place, bytes)
    }
}

fn unusable(table: &str, column: &str, error: &dyn std::error::Error) -> DbError {
    DbError::Unreadable { what: "stored data", reason: format!("{table}.{column}: {error}") }
}
