package cli

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"cloudy/builder/sandbox"
)

var update = flag.Bool("update", false, "write the golden parts of scripts and the reference in docs/cli")

func TestMain(m *testing.M) {
	sandbox.Init()
	testscript.Main(m, map[string]func(){
		"cloudy": func() {
			os.Exit(Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// TestScripts runs the scripts in testdata/script. Each has a folder, a cache
// and an environment of its own, and no mirror: a script that wants the
// network fails.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("CLOUDY_CACHE", env.WorkDir+"/.cache")
			env.Setenv("CLOUDY_MIRROR", "http://127.0.0.1:1/")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "require-all" {
				return os.Getenv("CLOUDY_REQUIRE_ALL") != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// exits STATUS ARGUMENT...: cloudy ends with that exit status.
			"exits": exits,
			// bootsector FILE TEXT: a disk that says something.
			"bootsector": bootSector,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS ARGUMENT...")
	}
	// sh tells the status, which Exec does not.
	err := ts.Exec("sh", append([]string{"-c", `cloudy "$@"; echo "exit status $?" >&2`, "sh"}, args[1:]...)...)
	if err != nil {
		ts.Fatalf("%v", err)
	}
	want := "exit status " + args[0] + "\n"
	stderr := ts.ReadFile("stderr")
	if len(stderr) < len(want) || stderr[len(stderr)-len(want):] != want {
		ts.Fatalf("want %s", want)
	}
}
