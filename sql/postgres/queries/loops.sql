-- name: SaveLoops
INSERT INTO loop_report (owner, term, saved_at, loops) VALUES ($1, $2, clock_timestamp(), $3)
ON CONFLICT (only_row) DO UPDATE SET owner = excluded.owner, term = excluded.term, saved_at = excluded.saved_at, loops = excluded.loops
WHERE loop_report.term <= excluded.term;

-- name: LoopReport
SELECT owner, term, loops, clock_timestamp() - saved_at FROM loop_report;

-- Rows are locked in the order of the names.
-- name: WakeLoops
INSERT INTO wakeups (loop, woken) SELECT name, 1 FROM unnest($1::text[]) AS n (name) ORDER BY name
ON CONFLICT (loop) DO UPDATE SET woken = wakeups.woken + 1;

-- name: Wakeups
SELECT loop, woken FROM wakeups;
