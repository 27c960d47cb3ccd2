//! Where files are: partitions as Hive, Spark and DuckDB know them.

use jiff::Timestamp;

/// What is kept by tenant, deployment and hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// The folder of its objects.
    pub(crate) folder: &'static str,
    /// The prefix of its records of what is kept.
    pub(crate) records: &'static str,
}

/// The prediction log.
pub(crate) const LOG: Area = Area::new("predictions", "prediction-log");

const HOUR_MICROS: i64 = 3_600_000_000;

/// Hours since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub(crate) i64);

impl Hour {
    /// The hour of a moment, in microseconds since 1970.
    pub fn of_micros(micros: i64) -> Self {
        Self(micros.div_euclid(HOUR_MICROS))
    }

    /// Its first moment, in microseconds since 1970.
    pub fn start_micros(self) -> i64 {
        self.0.saturating_mul(HOUR_MICROS)
    }

    /// This one.
    pub fn now() -> Self {
        Self::of_micros(Timestamp::now().as_microsecond())
    }

    /// `date=2026-11-26/hour=15`.
    fn partition(self) -> String {
        let start = Timestamp::from_second(self.0.saturating_mul(3600)).unwrap_or(Timestamp::UNIX_EPOCH);
        start.strftime("date=%Y-%m-%d/hour=%H").to_string()
    }
}

impl Area {
    /// One with a folder and a prefix of its own.
    pub const fn new(folder: &'static str, records: &'static str) -> Self {
        Self { folder, records }
    }

    /// A deployment's folder. The names were checked: letters, digits and hyphens.
    pub fn of_deployment(self, tenant: &str, deployment: &str) -> String {
        format!("{}/deployment={deployment}", self.of_tenant(tenant))
    }

    /// A tenant's folder.
    pub fn of_tenant(self, tenant: &str) -> String {
        format!("{}/tenant={tenant}", self.folder)
    }

    /// The path of a file; `part` is no other file's.
    pub fn file(self, tenant: &str, deployment: &str, hour: Hour, part: &str) -> String {
        format!(
            "{}/{}/part-{part}.parquet",
            self.of_deployment(tenant, deployment),
            hour.partition()
        )
    }
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
        let path = LOG.file("acme", "churn", hour, "1-a");
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
