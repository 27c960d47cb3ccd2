//! Where files are: partitions as Hive, Spark and DuckDB know them.

use jiff::Timestamp;

/// The folder of all logs.
const ROOT: &str = "predictions";
const HOUR_MICROS: i64 = 3_600_000_000;

/// Hours since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(pub(crate) i64);

impl Hour {
    pub(crate) fn of_micros(micros: i64) -> Self {
        Self(micros.div_euclid(HOUR_MICROS))
    }

    pub(crate) fn now() -> Self {
        Self::of_micros(Timestamp::now().as_microsecond())
    }

    /// `date=2026-11-26/hour=15`.
    fn partition(self) -> String {
        let start = Timestamp::from_second(self.0.saturating_mul(3600)).unwrap_or(Timestamp::UNIX_EPOCH);
        start.strftime("date=%Y-%m-%d/hour=%H").to_string()
    }
}

/// A deployment's folder. The names were checked: letters, digits and hyphens.
pub(crate) fn folder(tenant: &str, deployment: &str) -> String {
    format!("{}/deployment={deployment}", tenant_folder(tenant))
}

/// A tenant's folder.
pub(crate) fn tenant_folder(tenant: &str) -> String {
    format!("{ROOT}/tenant={tenant}")
}

/// The path of a file; `part` is no other file's.
pub(crate) fn file(tenant: &str, deployment: &str, hour: Hour, part: &str) -> String {
    format!(
        "{}/{}/part-{part}.parquet",
        folder(tenant, deployment),
        hour.partition()
    )
}

/// The hour of a file; none where the path is no file's.
pub(crate) fn hour_of(path: &str) -> Option<Hour> {
    let mut parts = path.rsplit('/');
    let file = parts.next()?;
    if !(file.starts_with("part-") && file.ends_with(".parquet")) {
        return None;
    }
    let hour: i64 = parts.next()?.strip_prefix("hour=")?.parse().ok()?;
    let date = parts.next()?.strip_prefix("date=")?;
    let midnight: Timestamp = format!("{date}T00:00:00Z").parse().ok()?;
    let within = (0..24).contains(&hour);
    within.then(|| Hour(midnight.as_second().div_euclid(3600) + hour))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_hours_and_are_read_back() {
        let at: Timestamp = "2026-11-26T05:59:59.999999Z".parse().unwrap();
        let hour = Hour::of_micros(at.as_microsecond());
        let path = file("acme", "churn", hour, "1-a");
        assert_eq!(
            path,
            "predictions/tenant=acme/deployment=churn/date=2026-11-26/hour=05/part-1-a.parquet"
        );
        assert_eq!(hour_of(&path), Some(hour));
        assert_eq!(Hour::of_micros(at.as_microsecond() + 1).0, hour.0 + 1);
        for other in [
            "predictions/tenant=a/deployment=b/date=2026-11-26/hour=05/x.parquet",
            "predictions/tenant=a/deployment=b/date=2026-11-26/hour=24/part-1.parquet",
            "predictions/tenant=a/deployment=b/date=2026-13-26/hour=05/part-1.parquet",
            "part-1.parquet",
        ] {
            assert_eq!(hour_of(other), None, "{other}");
        }
    }
}
