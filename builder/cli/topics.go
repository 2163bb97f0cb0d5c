package cli

import "github.com/spf13/cobra"

// topics are the help texts that belong to no verb: "cloudy help TOPIC".
func topics() []*cobra.Command {
	return []*cobra.Command{
		{
			Use:   "exit-codes",
			Short: "What the exit status says",
			Long: `The exit status tells whose turn it is:

    0  all went well
    1  the build failed (a maintainer script, a check of the finished image), or
       a check that was asked for found a difference (cloudy diff --exit-code)
    2  the recipe, the lock or the command line is wrong
    3  an archive or registry did not answer, or answered wrongly
    4  this machine lacks something: disk space, a subuid range, a kernel feature;
       "cloudy doctor" says what
   70  a mistake in Cloudy itself
  130  stopped by Ctrl-C or a signal

The message on standard error says what happened, and the line that starts with
"hint:" what to do about it.`,
		},
		{
			Use:   "environment",
			Short: "Variables of the environment that Cloudy reads",
			Long: `Flags win over the environment, the environment wins over defaults.

  CLOUDY_CACHE        folder of the store, as --cache
  CLOUDY_MIRROR       mirrors to try first, separated by blanks, as --mirror
  CLOUDY_CACHE_FROM, CLOUDY_CACHE_TO, CLOUDY_CACHE_KEY, CLOUDY_CACHE_SIGN
                      the cache that machines share, as the flags of cloudy build;
                      several are separated by blanks
  CLOUDY_KEY_PASSWORD password of the secret key that --sign and --key name
  CLOUDY_VAR_name     value of the variable "name" of the recipe, as --var name=...
  SOURCE_DATE_EPOCH   time of everything in the image, in seconds since 1970, where
                      neither recipe nor lock says it; also of signatures
  NO_COLOR            no colours when set, as --no-color
  CI                  plain lines of progress when set, as --progress=plain
  TMPDIR              folder for what is needed only while a command runs
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY
                      proxies for downloads`,
		},
	}
}
