//! All rows of a patient or a call, opened, whatever tables there are: the catalogue says which hold something of theirs, so that
//! an export cannot forget a table that came later.

use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::db::DbError;
use crate::store::ClinicStore;

/// By which column rows belong to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A patient's own rows.
    Patient,
    /// What a call left. Rows that belong to a patient are his, not the call's: another patient may have spoken in it.
    Call,
    /// The same, less what is about a patient who had nothing to do with the call.
    CallAlone,
    /// What others' calls left about a patient.
    About,
}

/// Table → rows, each an object without tenant, indexes and digests, its sealed values opened. Tables without rows are left out.
pub(super) async fn of(store: &ClinicStore, connection: &mut PgConnection, key: Key, value: &str) -> Result<Map<String, Value>, DbError> {
    let column = match key {
        Key::Patient => "patient_id",
        Key::Call | Key::CallAlone => "call_id",
        Key::About => "about_patient",
    };
    let tables = sqlx::query_scalar!(
        r#"SELECT c.relname::text AS "table!" FROM pg_class c
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
             AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = $1::text::name AND NOT a.attisdropped)
             AND ($1 <> 'call_id'
                  OR NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'patient_id' AND NOT a.attisdropped))
             AND has_table_privilege(c.oid, 'SELECT')
           ORDER BY 1"#,
        column
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut all = Map::new();
    for table in tables {
        // The names come from the catalogue, and ours need no quoting beyond this.
        // Where a table has no such column, the row's JSON has no such key. Notices of such a message name it as their subject.
        let alone = if key == Key::CallAlone {
            "AND to_jsonb(t) ->> 'about_patient' IS NULL AND NOT EXISTS (SELECT FROM public.messages m
                 WHERE m.about_patient IS NOT NULL AND m.message_id::text = to_jsonb(t) ->> 'subject')"
        } else {
            ""
        };
        let statement = format!("SELECT to_jsonb(t) FROM public.\"{table}\" t WHERE t.{column}::text = $1 {alone} LIMIT 100000");
        let rows: Vec<Value> = sqlx::query_scalar(AssertSqlSafe(statement)).bind(value).fetch_all(&mut *connection).await?;
        let mut opened = Vec::with_capacity(rows.len());
        for row in rows {
            if let Value::Object(row) = row {
                opened.push(Value::Object(open_row(store, connection, &table, row).await?));
            }
        }
        if !opened.is_empty() {
            all.insert(table, Value::Array(opened));
        }
    }
    Ok(all)
}

async fn open_row(
    store: &ClinicStore,
    connection: &mut PgConnection,
    table: &str,
    row: Map<String, Value>,
) -> Result<Map<String, Value>, DbError> {
    let mut opened = Map::new();
    for (column, value) in row {
        if column == "tenant_id" || column.ends_with("_index") || column.ends_with("_hmac") {
            continue;
        }
        let Some(name) = column.strip_suffix("_sealed") else {
            opened.insert(column, value);
            continue;
        };
        let bytes = value.as_str().and_then(bytes_of).filter(|bytes| !bytes.is_empty());
        let plain = match bytes {
            None => Value::Null,
            // One value that cannot be read is said to be so; the others are owed all the same.
            Some(bytes) => match store.open_in::<Value>(connection, (table, &column), bytes).await {
                Ok(plain) => plain,
                Err(DbError::Unreadable { reason, .. }) => Value::String(format!("[unreadable: {reason}]")),
                Err(error) => return Err(error),
            },
        };
        opened.insert(name.to_owned(), plain);
    }
    Ok(opened)
}

/// Postgres's output form of bytea: `\x`, then hexadecimal digits.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let hex = text.strip_prefix("\\x")?;
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return None;
    }
    (0..hex.len() / 2).map(|position| u8::from_str_radix(&hex[2 * position..2 * position + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytea_is_read_as_postgres_writes_it() {
        assert_eq!(bytes_of("\\x00ff10"), Some(vec![0, 255, 16]));
        assert_eq!(bytes_of("\\x"), Some(Vec::new()));
        for bad in ["", "00", "\\x0", "\\x0g", "\\xé"] {
            assert_eq!(bytes_of(bad), None, "{bad}");
        }
    }
}
