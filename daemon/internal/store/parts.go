package store

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sort"
)

// PartsPage is the most parts that FileReader returns at once.
const PartsPage = 64

// PartMark says where in a file a part begins.
type PartMark struct {
	Number int   // of the part
	Start  int64 // offset of its first byte in the file
}

// MarksOf returns the marks of a file with these parts, by Number: that of every PartsPage-th part, the first included.
// A file of up to PartsPage parts needs none.
func MarksOf(parts []Part) []PartMark {
	if len(parts) <= PartsPage {
		return nil
	}
	byNumber := func(a, b Part) int { return cmp.Compare(a.Number, b.Number) }
	if !slices.IsSortedFunc(parts, byNumber) {
		parts = slices.SortedFunc(slices.Values(parts), byNumber)
	}
	var marks []PartMark
	start := int64(0)
	for i, p := range parts {
		if i%PartsPage == 0 {
			marks = append(marks, PartMark{p.Number, start})
		}
		start += p.Size
	}
	return marks
}

// PlacedPart is a part with its place in its file.
type PlacedPart struct {
	Part
	Start int64 // offset of its first byte in the file
}

// PartsFrom returns the parts of a file from the one that holds the byte at the offset to the last, in order. The file is as
// FileReader returned it. Further pages are read as the parts are asked for, so a range of
// a file of thousands of parts reads the pages that it needs. After an error there are no more parts.
// NotFound: the file was deleted, and its parts were swept; and the errors of FileReader.Parts.
func PartsFrom(ctx context.Context, r FileReader, f File, offset int64) iter.Seq2[PlacedPart, error] {
	return func(yield func(PlacedPart, error) bool) {
		page, start := f.Parts, int64(0)
		if i := sort.Search(len(f.Marks), func(i int) bool { return f.Marks[i].Start > offset }) - 1; i > 0 {
			page, start = nil, f.Marks[i].Start
			if !read(ctx, r, f, f.Marks[i].Number, &page, yield) {
				return
			}
		}
		for {
			for _, p := range page {
				if start+p.Size > offset && !yield(PlacedPart{p, start}, nil) {
					return
				}
				start += p.Size
			}
			if start >= f.Size || len(page) == 0 {
				return
			}
			if !read(ctx, r, f, page[len(page)-1].Number+1, &page, yield) {
				return
			}
		}
	}
}

// read reads the page that begins with the number; false if the page does not exist, which it yields as an error.
func read(ctx context.Context, r FileReader, f File, number int, page *[]Part, yield func(PlacedPart, error) bool) bool {
	parts, err := r.Parts(ctx, f.ID, number)
	if err == nil && len(parts) == 0 {
		err = Errorf(NotFound, "the parts of file %s do not exist any more", f.ID)
	}
	if err != nil {
		yield(PlacedPart{}, err)
		return false
	}
	*page = parts
	return true
}

// AllParts returns all parts of a file that FileReader returned. Its errors are those of PartsFrom.
func AllParts(ctx context.Context, r FileReader, f File) ([]Part, error) {
	if len(f.Parts) < PartsPage {
		return f.Parts, nil
	}
	var parts []Part
	for p, err := range PartsFrom(ctx, r, f, 0) {
		if err != nil {
			return nil, err
		}
		parts = append(parts, p.Part)
	}
	return parts, nil
}
