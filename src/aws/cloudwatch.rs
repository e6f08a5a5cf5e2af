//! CloudWatch metrics over the AWS JSON 1.0 protocol: ListMetrics, GetMetricData, GetMetricStatistics. Pure.
//!
//! Format: the Amazon CloudWatch API reference; the protocol's target prefix is in AWS's published service model
//! (`GraniteServiceVersion20100801`). Times are seconds since 1970.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};

use super::request::{Address, JsonService, Request, page_token};
use super::success::{self, Unusable};

const CLOUDWATCH: JsonService = JsonService {
    scope: "monitoring",
    content_type: "application/x-amz-json-1.0",
    target: "GraniteServiceVersion20100801",
};

/// The statistics of every metric, in the order of the published events. Up to five statistics of a metric in one call
/// are billed as one.
pub const STATISTICS: [&str; 5] = ["Average", "Maximum", "Minimum", "Sum", "SampleCount"];

/// A metric's identity: all three together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metric {
    pub namespace: String,
    #[serde(rename = "MetricName")]
    pub name: String,
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dimension {
    pub name: String,
    #[serde(default)]
    pub value: String,
}

/// The metrics to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List<'a> {
    /// None for all namespaces.
    pub namespace: Option<&'a str>,
    /// Only those that had data in the last three hours; else in the last two weeks.
    pub recently_active: bool,
    /// Token of the previous page.
    pub token: Option<&'a str>,
}

/// A page of ListMetrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub metrics: Vec<Metric>,
    /// None if this is the last page.
    pub token: Option<String>,
}

/// The data to read: all [`STATISTICS`] of some metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<'a> {
    pub metrics: &'a [Metric],
    /// Seconds.
    pub period: u32,
    /// Seconds since 1970, both a multiple of the period; `to` is not included.
    pub from: i64,
    pub to: i64,
    /// Token of the previous page.
    pub token: Option<&'a str>,
}

/// A page of GetMetricData.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    pub points: Vec<Point>,
    /// The status of each series, by metric and statistic: `Complete`, `PartialData`, …
    pub statuses: Vec<(usize, usize, String)>,
    /// None if this is the last page.
    pub token: Option<String>,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Index in the query's metrics.
    pub metric: usize,
    /// Index in [`STATISTICS`].
    pub statistic: usize,
    /// Start of its period, seconds since 1970.
    pub time: i64,
    pub value: Number,
}

/// Builds ListMetrics. The address's resource is for people.
pub fn list_metrics(address: &Address<'_>, list: &List<'_>) -> Request {
    let mut input = json!({});
    if let Some(namespace) = list.namespace {
        input["Namespace"] = namespace.into();
    }
    if list.recently_active {
        input["RecentlyActive"] = "PT3H".into();
    }
    if let Some(token) = list.token {
        input["NextToken"] = token.into();
    }
    CLOUDWATCH.call("cloudwatch:ListMetrics", address, &input)
}

/// Builds GetMetricData. The address's resource is for people.
pub fn metric_data(address: &Address<'_>, query: &Query<'_>) -> Request {
    let statistics = |(at, metric): (usize, &Metric)| {
        let one = move |(statistic, name): (usize, &&str)| {
            json!({
                "Id": format!("m{at}_{statistic}"),
                "MetricStat": {"Metric": metric, "Period": query.period, "Stat": name},
            })
        };
        STATISTICS.iter().enumerate().map(one).collect::<Vec<_>>()
    };
    let queries: Vec<Value> = query.metrics.iter().enumerate().flat_map(statistics).collect();
    let mut input = json!({
        "MetricDataQueries": queries,
        "StartTime": query.from,
        "EndTime": query.to,
        "ScanBy": "TimestampAscending",
    });
    if let Some(token) = query.token {
        input["NextToken"] = token.into();
    }
    CLOUDWATCH.call("cloudwatch:GetMetricData", address, &input)
}

/// Builds GetMetricStatistics for one datapoint's unit. The address's resource is for people.
pub fn metric_unit(address: &Address<'_>, metric: &Metric, period: u32, time: i64) -> Request {
    let input = json!({
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": metric.dimensions,
        "StartTime": time,
        "EndTime": time.saturating_add(i64::from(period)),
        "Period": period,
        "Statistics": ["SampleCount"],
    });
    CLOUDWATCH.call("cloudwatch:GetMetricStatistics", address, &input)
}

/// Reads the unit in GetMetricStatistics' answer. None if there is no datapoint, or they have several units.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_metric_unit(body: &[u8]) -> Result<Option<String>, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<P> {
        // An answer without them costs a unit, but no datapoint.
        #[serde(default = "Vec::new")]
        datapoints: Vec<P>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Datapoint {
        #[serde(default)]
        unit: Option<String>,
    }
    let answer = success::json::<Answer<Datapoint>, Answer<IgnoredAny>>(body)?;
    let mut units: Vec<_> = answer.datapoints.into_iter().map(|point| point.unit).collect();
    units.dedup();
    Ok(if units.len() == 1 { units.remove(0) } else { None })
}

/// Reads ListMetrics' answer.
///
/// # Errors
/// If it is not what AWS documents. An answer without any member says that there are no metrics.
pub fn read_list_metrics(body: &[u8]) -> Result<Listed, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<T> {
        metrics: Vec<T>,
        next_token: Option<String>,
    }
    if success::is_bare(body) {
        return Ok(Listed { metrics: Vec::new(), token: None });
    }
    let answer = success::json::<Answer<Metric>, Answer<IgnoredAny>>(body)?;
    Ok(Listed { metrics: answer.metrics, token: page_token(answer.next_token) })
}

/// Reads GetMetricData's answer.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_metric_data(body: &[u8]) -> Result<Data, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<T> {
        metric_data_results: Vec<T>,
        next_token: Option<String>,
    }
    let answer = success::json::<Answer<Series>, Answer<IgnoredAny>>(body)?;
    let mut data = Data { points: Vec::new(), statuses: Vec::new(), token: page_token(answer.next_token) };
    for series in answer.metric_data_results {
        series.read_into(&mut data)?;
    }
    Ok(data)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    id: String,
    #[serde(default)]
    status_code: Option<String>,
    #[serde(default)]
    timestamps: Option<Vec<f64>>,
    #[serde(default)]
    values: Option<Vec<Number>>,
}

impl Series {
    fn read_into(self, data: &mut Data) -> Result<(), Unusable> {
        let Some((metric, statistic)) = indices(&self.id) else {
            return Err(Unusable::odd(format!("{:?} was not requested", self.id)));
        };
        data.statuses.extend(self.status_code.map(|status| (metric, statistic, status)));
        let (times, values) = (self.timestamps.unwrap_or_default(), self.values.unwrap_or_default());
        if times.len() != values.len() {
            return Err(Unusable::odd("the numbers of values and timestamps differ"));
        }
        let point = |(time, value): (f64, Number)| Point { metric, statistic, time: time as i64, value };
        data.points.extend(times.into_iter().zip(values).map(point));
        Ok(())
    }
}

/// Parses `m12_3` as 12, 3.
fn indices(id: &str) -> Option<(usize, usize)> {
    let (metric, statistic) = id.strip_prefix('m')?.split_once('_')?;
    let statistic = statistic.parse().ok().filter(|statistic| *statistic < STATISTICS.len())?;
    Some((metric.parse().ok()?, statistic))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address<'_> = Address { endpoint: "https://e", region: "eu-west-1", resource: "metrics" };

    fn text(request: &Request) -> &str {
        std::str::from_utf8(&request.body).unwrap()
    }

    fn cpu() -> Metric {
        let dimensions = vec![Dimension { name: "InstanceId".into(), value: "i-1".into() }];
        Metric { namespace: "AWS/EC2".into(), name: "CPUUtilization".into(), dimensions }
    }

    #[test]
    fn a_list_is_of_a_namespace() {
        let list = List { namespace: Some("AWS/EC2"), recently_active: true, token: Some("t") };
        let request = list_metrics(&ADDRESS, &list);
        assert_eq!(text(&request), r#"{"Namespace":"AWS/EC2","RecentlyActive":"PT3H","NextToken":"t"}"#);
        assert_eq!((request.service, request.url().as_str()), ("monitoring", "https://e/"));
        let target = ("x-amz-target", "GraniteServiceVersion20100801.ListMetrics".to_owned());
        assert!(request.headers.contains(&target));
        assert_eq!(text(&list_metrics(&ADDRESS, &List::default())), "{}");
    }

    #[test]
    fn all_statistics_of_a_metric_stand_together() {
        let query = Query { metrics: &[cpu()], period: 60, from: 600, to: 660, token: None };
        let request = metric_data(&ADDRESS, &query);
        let input: Value = serde_json::from_slice(&request.body).unwrap();
        let queries = input["MetricDataQueries"].as_array().unwrap();
        assert_eq!(queries.len(), STATISTICS.len());
        assert_eq!(
            queries[4].to_string(),
            r#"{"Id":"m0_4","MetricStat":{"Metric":{"Namespace":"AWS/EC2","MetricName":"CPUUtilization","Dimensions":[{"Name":"InstanceId","Value":"i-1"}]},"Period":60,"Stat":"SampleCount"}}"#
        );
        assert_eq!((&input["StartTime"], &input["EndTime"]), (&json!(600), &json!(660)));
    }

    #[test]
    fn a_page_of_metrics() {
        let page = include_bytes!("../../testdata/aws/cloudwatch/list_metrics.json");
        let listed = read_list_metrics(page).unwrap();
        assert_eq!(listed.metrics[0], cpu());
        assert_eq!((listed.metrics[1].name.as_str(), listed.metrics[1].dimensions.len()), ("Orders", 0));
        assert_eq!(listed.token.as_deref(), Some("bmV4dA=="));
    }

    #[test]
    fn a_page_of_data() {
        let page = include_bytes!("../../testdata/aws/cloudwatch/metric_data.json");
        let data = read_metric_data(page).unwrap();
        let points: Vec<_> = data
            .points
            .iter()
            .map(|point| (point.metric, point.statistic, point.time, point.value.to_string()))
            .collect();
        assert_eq!(points[0], (0, 0, 1_669_041_960, "12.5".to_owned()));
        assert_eq!(points[1], (0, 0, 1_669_042_020, "0.0".to_owned()));
        assert_eq!(points[2], (0, 4, 1_669_041_960, "5.0".to_owned()));
        assert_eq!((points.len(), data.token.as_deref()), (3, Some("cGFnZSAy")));
    }

    #[test]
    fn what_was_not_worked_out_is_no_silence() {
        for body in [
            r#"{"MetricDataResults":[{"Id":"x","StatusCode":"Complete"}]}"#,
            r#"{"MetricDataResults":[{"Id":"m0_5","StatusCode":"Complete"}]}"#,
            r#"{"MetricDataResults":[{"Id":"m0_0","Timestamps":[1],"Values":[]}]}"#,
        ] {
            assert!(read_metric_data(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn the_unit_of_a_datapoint() {
        let request = metric_unit(&ADDRESS, &cpu(), 60, 600);
        assert_eq!(
            text(&request),
            r#"{"Namespace":"AWS/EC2","MetricName":"CPUUtilization","Dimensions":[{"Name":"InstanceId","Value":"i-1"}],"StartTime":600,"EndTime":660,"Period":60,"Statistics":["SampleCount"]}"#
        );
        let read = |body: &str| read_metric_unit(body.as_bytes()).unwrap();
        let point = |unit: &str| format!(r#"{{"Timestamp":600.0,"SampleCount":5.0,"Unit":"{unit}"}}"#);
        let answer = |points: &[String]| format!(r#"{{"Datapoints":[{}],"Label":"x"}}"#, points.join(","));
        assert_eq!(read(&answer(&[point("Percent")])).as_deref(), Some("Percent"));
        assert_eq!(read(&answer(&[point("Percent"), point("Bytes")])), None);
        assert_eq!(read(&answer(&[])), None);
        assert_eq!(read("{}"), None);
    }

    #[test]
    fn an_account_without_metrics() {
        for body in ["{}", r#"{"Metrics":[]}"#, r#"{"Metrics":[],"NextToken":""}"#] {
            assert_eq!(read_list_metrics(body.as_bytes()).unwrap(), Listed { metrics: vec![], token: None });
        }
        let nothing = read_metric_data(br#"{"MetricDataResults":[]}"#).unwrap();
        assert_eq!(nothing, Data { points: vec![], statuses: vec![], token: None });
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(0u8.., 0..200)) {
            let _ = (read_list_metrics(&body), read_metric_data(&body), read_metric_unit(&body));
        }

        /// Ids lead back to their metric and statistic.
        #[test]
        fn ids_lead_back(count in 1usize..20) {
            let metrics = vec![cpu(); count];
            let query = Query { metrics: &metrics, period: 60, from: 0, to: 60, token: None };
            let input: Value = serde_json::from_slice(&metric_data(&ADDRESS, &query).body).unwrap();
            let ids = input["MetricDataQueries"].as_array().unwrap().iter().map(|query| query["Id"].as_str().unwrap());
            for (at, id) in ids.enumerate() {
                proptest::prop_assert_eq!(indices(id), Some((at / STATISTICS.len(), at % STATISTICS.len())));
            }
        }
    }
}
