-- name: SaveLoops
INSERT INTO loop_report (only_row, owner, term, saved_at, loops) VALUES (1, ?1, ?2, ?3, ?4)
ON CONFLICT (only_row) DO UPDATE SET owner = ?1, term = ?2, saved_at = ?3, loops = ?4 WHERE term <= ?2;

-- name: LoopReport
SELECT owner, term, saved_at, loops FROM loop_report;

-- name: WakeLoop
INSERT INTO wakeups (loop, woken) VALUES (?, 1) ON CONFLICT (loop) DO UPDATE SET woken = woken + 1;

-- name: Wakeups
SELECT loop, woken FROM wakeups;
