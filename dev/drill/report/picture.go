package report

import (
	"fmt"
	"html"
	"html/template"
	"strings"
)

// Measures of the timeline, in SVG units.
const (
	pictureWidth = 1180.0
	leftMargin   = 78.0
	rightMargin  = 10.0
	headHeight   = 46.0
	rowHeight    = 62.0
	barHeight    = 44.0
	footHeight   = 30.0
)

// picture draws the timeline: a row for each center with its client's requests by who answered them, bands for the
// steps, and marks for what was killed and who leads. Colours come from the page's style sheet, which knows light and
// dark.
func picture(r Report) template.HTML {
	p := painter{r: r, scale: (pictureWidth - leftMargin - rightMargin) / max(r.Seconds, 1)}
	p.bottom = headHeight + rowHeight*float64(len(r.Centers))
	fmt.Fprintf(
		&p.b,
		`<svg class="timeline" viewBox="0 0 %g %g" role="img" aria-label="Requests of each center over time">`,
		pictureWidth,
		p.bottom+footHeight,
	)
	p.bands()
	p.axis()
	for i, c := range r.Centers {
		p.row(headHeight+rowHeight*float64(i), c)
	}
	p.marks()
	p.b.WriteString(`</svg>`)
	return template.HTML(p.b.String()) //nolint:gosec // every text in it went through html.EscapeString
}

type painter struct {
	r      Report
	b      strings.Builder
	scale  float64
	bottom float64
}

func (p *painter) x(seconds float64) float64 { return leftMargin + seconds*p.scale }

func (p *painter) bands() {
	for i, s := range p.r.Steps {
		class := "band"
		if i%2 == 1 {
			class = "band odd"
		}
		x, width := p.x(s.From), (s.To-s.From)*p.scale
		fmt.Fprintf(&p.b, `<rect class="%s" x="%.1f" y="0" width="%.1f" height="%.1f"><title>%s</title></rect>`,
			class, x, width, p.bottom, html.EscapeString(s.Name+": "+s.What))
		fmt.Fprintf(&p.b, `<text class="step" x="%.1f" y="14">%d</text>`, x+4, s.Number)
		if width > 60 {
			fmt.Fprintf(&p.b, `<text class="name" x="%.1f" y="14">%s</text>`, x+16, html.EscapeString(s.Name))
		}
	}
}

func (p *painter) axis() {
	for t := 0.0; t <= p.r.Seconds; t += 10 {
		fmt.Fprintf(
			&p.b,
			`<line class="tick" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`,
			p.x(t),
			p.bottom,
			p.x(t),
			p.bottom+5,
		)
		fmt.Fprintf(&p.b, `<text class="axis" x="%.1f" y="%.1f">%.0f s</text>`, p.x(t), p.bottom+18, t)
	}
}

func (p *painter) row(top float64, c Center) {
	base := top + barHeight
	fmt.Fprintf(&p.b, `<text class="center" x="6" y="%.1f">%s</text><text class="region" x="6" y="%.1f">%s</text>`,
		top+22, html.EscapeString(c.Name), top+36, html.EscapeString(c.Region))
	fmt.Fprintf(
		&p.b,
		`<line class="base" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`,
		leftMargin,
		base,
		pictureWidth-rightMargin,
		base,
	)
	highest := 1
	for _, other := range p.r.Centers {
		for _, bucket := range other.Buckets {
			highest = max(highest, bucket.Total())
		}
	}
	unit := (barHeight - 4) / float64(highest)
	for _, part := range []struct {
		class string
		count func(Bucket) (below, own int)
	}{
		{"own", func(b Bucket) (int, int) { return 0, b.Own }},
		{"near", func(b Bucket) (int, int) { return b.Own, b.Region }},
		{"far", func(b Bucket) (int, int) { return b.Own + b.Region, b.Far }},
		{"inflight", func(b Bucket) (int, int) { return b.Own + b.Region + b.Far, b.InFlight }},
		{"failed", func(b Bucket) (int, int) { return b.Own + b.Region + b.Far + b.InFlight, b.Failed }},
	} {
		p.layer(part.class, base, unit, c.Buckets, part.count)
	}
}

// layer draws one colour of a row as one path. Failures are drawn at least three units high: one in a thousand must be
// seen.
func (p *painter) layer(class string, base, unit float64, buckets []Bucket, count func(Bucket) (int, int)) {
	var d strings.Builder
	width := BucketSeconds * p.scale
	for i, bucket := range buckets {
		below, own := count(bucket)
		if own == 0 {
			continue
		}
		height := float64(own) * unit
		if class == "failed" || class == "inflight" {
			height = max(height, 3)
		}
		fmt.Fprintf(
			&d,
			"M%.1f %.1fh%.2fv-%.1fh-%.2fz",
			p.x(float64(i)*BucketSeconds),
			base-float64(below)*unit,
			width,
			height,
			width,
		)
	}
	if d.Len() > 0 {
		fmt.Fprintf(&p.b, `<path class="%s" d="%s"/>`, class, d.String())
	}
}

func (p *painter) marks() {
	rows := map[string]float64{}
	for i, c := range p.r.Centers {
		rows[c.Name] = headHeight + rowHeight*float64(i) + barHeight
	}
	for _, m := range p.r.Marks {
		x, title := p.x(m.At), html.EscapeString(fmt.Sprintf("%.1f s: %s", m.At, m.Text))
		y, inRow := rows[m.Center]
		switch {
		case m.Kind == MarkLeader:
			fmt.Fprintf(
				&p.b,
				`<g class="leader"><title>%s</title><line x1="%.1f" y1="22" x2="%.1f" y2="%.1f"/>`+
					`<path d="M%.1f 22l7 4l-7 4z"/></g>`,
				title,
				x,
				x,
				p.bottom,
				x,
			)
		case m.Kind == MarkPolicy:
			fmt.Fprintf(
				&p.b,
				`<g class="policy"><title>%s</title><line x1="%.1f" y1="32" x2="%.1f" y2="%.1f"/>`+
					`<rect x="%.1f" y="32" width="7" height="7"/></g>`,
				title,
				x,
				x,
				p.bottom,
				x,
			)
		case m.Kind == MarkKill && inRow:
			fmt.Fprintf(&p.b, `<path class="kill" d="M%.1f %.1fl6 6m0 -6l-6 6"><title>%s</title></path>`, x-3, y+4, title)
		case m.Kind == MarkLost && inRow:
			fmt.Fprintf(&p.b, `<path class="lost" d="M%.1f %.1fl6 6m0 -6l-6 6"><title>%s</title></path>`, x-3, y+4, title)
		case m.Kind == MarkStart && inRow:
			fmt.Fprintf(&p.b, `<path class="start" d="M%.1f %.1fl6 3.5l-6 3.5z"><title>%s</title></path>`, x-3, y+4, title)
		}
	}
}
