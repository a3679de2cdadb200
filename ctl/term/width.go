package term

import (
	"strings"

	"github.com/rivo/uniseg"
)

// width returns how many columns of a terminal a text takes: wide characters take two, combining ones none.
func width(text string) int { return uniseg.StringWidth(text) }

// cut shortens a text to so many columns; an ellipsis stands for what was left out at its beginning, since names differ at
// their ends.
func cut(text string, columns int) string {
	if width(text) <= columns {
		return text
	}
	if columns < 1 {
		return ""
	}
	clusters := []string{}
	for rest, state := text, -1; rest != ""; {
		var cluster string
		cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		clusters = append(clusters, cluster)
	}
	left, first := columns-1, len(clusters)
	for first > 0 && width(clusters[first-1]) <= left {
		first--
		left -= width(clusters[first])
	}
	return "…" + strings.Join(clusters[first:], "")
}

// cutEnd shortens a text to so many columns at its end.
func cutEnd(text string, columns int) string {
	if width(text) <= columns {
		return text
	}
	if columns < 1 {
		return ""
	}
	var b strings.Builder
	left := columns - 1
	for rest, state := text, -1; rest != ""; {
		var cluster string
		cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if left -= width(cluster); left < 0 {
			break
		}
		b.WriteString(cluster)
	}
	return b.String() + "…"
}

// padded fills a text with spaces to so many columns.
func padded(text string, columns int) string {
	return text + strings.Repeat(" ", max(columns-width(text), 0))
}
