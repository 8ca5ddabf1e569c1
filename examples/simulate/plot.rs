//! A plot as SVG: what waits, and how many instances there are, over time. Readable on light and on dark pages.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 26.0;
const GAP: f64 = 62.0;
const COLOURS: [&str; 5] = ["#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6"];
/// Points of a line.
const POINTS: usize = 240;

/// A line of the plot: its name, and each minute's value.
pub struct Line<'a> {
    pub name: &'a str,
    pub waiting: Vec<f64>,
    pub instances: Vec<f64>,
}

/// Two panels below each other, with the lines' names.
pub fn svg(title: &str, lines: &[Line<'_>]) -> String {
    let height = TOP + 2.0 * (HEIGHT + GAP) + 18.0 * lines.len().div_ceil(3) as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text{{fill:#57606a}}.axis{{stroke:#8c959f;stroke-width:1;fill:none}}.grid{{stroke:#8c959f;stroke-opacity:.25}}\
         @media(prefers-color-scheme:dark){{text{{fill:#9da7b3}}}}</style>\n<text x=\"{LEFT}\" y=\"16\" font-size=\"14\">{title}</text>\n",
        LEFT + WIDTH + 20.0
    );
    let waiting: Vec<(&str, &[f64])> = lines.iter().map(|line| (line.name, &line.waiting[..])).collect();
    let instances: Vec<(&str, &[f64])> = lines.iter().map(|line| (line.name, &line.instances[..])).collect();
    panel(&mut text, TOP, "photographs that wait", &waiting);
    panel(&mut text, TOP + HEIGHT + GAP, "instances", &instances);
    for (index, line) in lines.iter().enumerate() {
        let (x, y) = (LEFT + 240.0 * (index % 3) as f64, TOP + 2.0 * (HEIGHT + GAP) + 18.0 * (index / 3) as f64);
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"4\" fill=\"{}\"/><text x=\"{}\" y=\"{y}\">{}</text>",
            y - 6.0,
            COLOURS[index % COLOURS.len()],
            x + 18.0,
            line.name
        );
    }
    text + "</svg>\n"
}

fn panel(text: &mut String, top: f64, label: &str, lines: &[(&str, &[f64])]) {
    let most = lines.iter().flat_map(|(_, values)| values.iter().copied()).fold(1.0, f64::max);
    let minutes = lines.iter().map(|(_, values)| values.len()).max().unwrap_or(1).max(2);
    let bottom = top + HEIGHT + 14.0;
    let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{}\">{label}</text>", top + 8.0);
    for part in 0..=2 {
        let y = bottom - HEIGHT * f64::from(part) / 2.0;
        let value = most * f64::from(part) / 2.0;
        let _ = writeln!(
            text,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            y + 4.0,
            short(value)
        );
    }
    for part in 0..=4 {
        let x = LEFT + WIDTH * f64::from(part) / 4.0;
        let at = minutes as f64 * f64::from(part) / 4.0;
        let time = if minutes > 240 { format!("{:.0} h", at / 60.0) } else { format!("{at:.0} min") };
        let _ = writeln!(text, "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{time}</text>", bottom + 16.0);
    }
    let _ = writeln!(text, "<path class=\"axis\" d=\"M{LEFT} {bottom}H{}\"/>", LEFT + WIDTH);
    for (index, (_, values)) in lines.iter().enumerate() {
        let step = (minutes / POINTS).max(1);
        let points: Vec<String> = values
            .chunks(step)
            .enumerate()
            .map(|(point, chunk)| {
                // The most of each part, so that no peak is lost.
                let value = chunk.iter().copied().fold(0.0, f64::max);
                let x = LEFT + WIDTH * (point * step) as f64 / (minutes - 1) as f64;
                format!("{x:.1},{:.1}", bottom - HEIGHT * value / most)
            })
            .collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"/>",
            points.join(" "),
            COLOURS[index % COLOURS.len()]
        );
    }
}

/// "1.5k", "2M".
fn short(value: f64) -> String {
    match value {
        1_000_000.0.. => format!("{:.1}M", value / 1_000_000.0),
        10_000.0.. => format!("{:.0}k", value / 1_000.0),
        1_000.0.. => format!("{:.1}k", value / 1_000.0),
        _ => format!("{}", (value * 10.0).round() / 10.0),
    }
}
