//! The chart of a sweep: MB/s over the number of workers, one line per number of senders.

use plotters::prelude::*;

use super::point::Point;

const SIZE: (u32, u32) = (900, 520);
const COLOURS: [RGBColor; 3] = [RGBColor(31, 119, 180), RGBColor(214, 99, 20), RGBColor(44, 140, 60)];
const FONT: &str = "sans-serif";

/// Returns the chart as SVG.
///
/// # Errors
/// The errors of `plotters`; none if there is at least one point.
pub fn draw(points: &[Point], service: &str) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw_on(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), points, service)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(svg)
}

fn draw_on<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    points: &[Point],
    service: &str,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    area.fill(&WHITE)?;
    let workers_max = points.iter().map(|point| point.workers).max().unwrap_or(1);
    let speed_max = points.iter().map(|point| point.log_mb_per_second).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{service}: MB of log per second"), (FONT, 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0..workers_max + 1, 0.0..speed_max * 1.1)?;
    chart.configure_mesh().x_desc("workers").y_desc("MB/s").x_labels(workers_max + 2).draw()?;
    let mut senders: Vec<usize> = points.iter().map(|point| point.senders).collect();
    senders.sort_unstable();
    senders.dedup();
    for (senders, colour) in senders.into_iter().zip(COLOURS.into_iter().cycle()) {
        let of_senders = points.iter().filter(|point| point.senders == senders);
        let line = of_senders.map(|point| (point.workers, point.log_mb_per_second));
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(line, style).point_size(4))?
            .label(format!("{senders} senders"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_senders_has_a_line() {
        let point = |workers: usize, senders: usize| -> Point {
            serde_json::from_value(serde_json::json!({
                "workers": workers, "senders": senders, "log_mb_per_second": 100.0 * workers as f64,
                "cpu_seconds_per_gb": 2.0, "peak_rss_bytes": 1, "bottleneck": "cores", "complete": true,
            }))
            .unwrap()
        };
        let svg = draw(&[point(1, 1), point(2, 1), point(1, 4), point(2, 4)], "aws_sqs_fdr").unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        for text in ["aws_sqs_fdr: MB of log per second", "1 senders", "4 senders", "<polyline"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        draw(&[point(1, 1)], "x").unwrap();
    }
}
