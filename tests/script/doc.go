// Package script runs sessions of the real s3ctl against a real server: each file in testdata is a list of command lines
// and their expected results. They are examples for the manual that are always up to date.
//
// A session is text, followed by files as "-- NAME --" and their content. Each line of the text is one of
//
//	s3ctl ARG...          runs s3ctl, which must end with 0
//	exit N s3ctl ARG...   runs s3ctl, which must end with N
//	< FILE                the next run reads this file as standard input
//	stdout TEXT           the output of the last run contains TEXT (with ! before: does not)
//	stderr TEXT           the same for its standard error
//	stdout-is FILE        the output of the last run equals FILE
//	empty stdout|stderr   the last run wrote nothing there
//	same FILE FILE        two files are equal
//	exists PATH           the path exists (with ! before: does not)
//	tree DIR NAME...      DIR has these files and no other
//	random FILE BYTES     creates a file of random bytes
//	mkdir DIR, rm PATH, link TARGET PATH
//	set NAME VALUE        sets an environment variable for the following runs
//
// Words are separated by spaces; 'quotes' keep spaces and are removed. $BUCKET is a bucket of the session, $DIR its
// folder, which is also the working folder, $URL the server, with $KEY and $SECRET; $NL, $TAB and $ESC are those
// characters. All of them are also replaced in files.
package script
