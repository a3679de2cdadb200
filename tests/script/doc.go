// Package script runs sessions of the real s3ctl against a real server, from the
// outside: each file in testdata is a list of command lines and what they must lead
// to. They are the examples of the manual that cannot go stale.
//
// A session is text, and after it files as "-- NAME --" and their content. Each line of
// the text is one of
//
//	s3ctl ARG...          runs s3ctl, which must end with 0
//	exit N s3ctl ARG...   runs s3ctl, which must end with N
//	< FILE                gives the next run this file as standard input
//	stdout TEXT           the last run's output has TEXT in it (! before: has not)
//	stderr TEXT           the same for its errors
//	stdout-is FILE        the last run's output is FILE to the last byte
//	empty stdout|stderr   the last run wrote nothing there
//	same FILE FILE        two files are equal
//	exists PATH           something is there (! before: is not)
//	tree DIR NAME...      DIR has these files and no other
//	random FILE BYTES     makes a file of random bytes
//	mkdir DIR, rm PATH, link TARGET PATH
//	set NAME VALUE        sets an environment variable for the runs that follow
//
// Words are parted by blanks; 'quotes' keep blanks and are taken off. $BUCKET is a
// bucket of the session's own, $DIR its folder, which is also the working folder, $URL the server with
// $KEY and $SECRET; $NL, $TAB and $ESC are those characters. All of them in files, too.
package script
