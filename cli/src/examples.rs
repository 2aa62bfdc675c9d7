//! What the help texts of the subcommands that are for pods and images show behind the flags: calls that work, and what there is to
//! know beyond them. That of `run` and `doctor` stands with their flags.

pub(crate) const PREPARE: &str = "\
Examples:
  bulkhead prepare web.aci --- db.aci      a pod of two apps, as `run` would make it; its UUID is printed
  bulkhead run-prepared 6733               runs it, once

A pod is prepared with all that `run` would do first; what says how it starts (--hostname, --dns, …) is
given to run-prepared. gc deletes what nobody has run for a day.";

pub(crate) const RUN_PREPARED: &str = "\
Examples:
  bulkhead run-prepared 6733                     runs the pod that `prepare` has made
  bulkhead run-prepared --interactive 6733       the same on this terminal

Exit status: as that of run.";

pub(crate) const LIST: &str = "\
Examples:
  bulkhead list                            a line an app: pod, image, state, times
  bulkhead list --full --no-legend         for scripts
  bulkhead list --format=json              for programs";

pub(crate) const STATUS: &str = "\
Examples:
  bulkhead status 6733                     state=running, and of apps that have ended how
  bulkhead status --wait 6733              when the pod has ended
  bulkhead status --wait-ready=30s 6733    when its apps run; an error if that takes longer";

pub(crate) const CAT_MANIFEST: &str = "\
Examples:
  bulkhead cat-manifest 6733               what runs in the pod, and how, as appc's JSON";

pub(crate) const LOGS: &str = "\
Examples:
  bulkhead logs 6733                       all that is kept, of a pod that has ended too
  bulkhead logs -f --tail 10 6733          the last ten lines, and what comes
  bulkhead logs --app web --stream stderr --since 10m --timestamps 6733";

pub(crate) const ENTER: &str = "\
Examples:
  bulkhead enter 6733                      a shell in the pod's app
  bulkhead enter --app=db 6733 ps ax       another program, in one app of several

On a terminal, ^] three times within a second leaves it; the program hangs up.
Exit status: that of the program, 254 for an error of bulkhead itself.";

pub(crate) const EXPORT: &str = "\
Examples:
  bulkhead export 6733 changed.aci         the app's files as they are now, to be run like any image
  bulkhead export --app=db --overwrite 6733 db.aci

The file is there when the image is whole, and not before. Volumes are no part of it.";

pub(crate) const ATTACH: &str = "\
Examples:
  bulkhead attach 6733                     whatever streams the app has
  bulkhead attach --mode=list 6733         which these are
  bulkhead attach --mode=stdout,stderr --app=web 6733

What an app writes can be read without any preparation; input is for apps that were started with --stdin=stream or tty.
On a terminal, ^] three times within a second leaves it; the app goes on.";

pub(crate) const STOP: &str = "\
Examples:
  bulkhead stop 6733                       SIGTERM to the apps, SIGKILL after 10 s; waits for the end
  bulkhead stop --force 6733 9a1e          kills two pods

A pod that has ended already is no error.";

pub(crate) const RM: &str = "\
Examples:
  bulkhead rm 6733                         a pod that has ended, or was prepared and never run
  bulkhead rm --uuid-file=/run/web.uuid    the one that `run --uuid-file-save` has made

A pod that runs is refused: stop it first.";

pub(crate) const GC: &str = "\
Examples:
  bulkhead gc                              marks what has ended, deletes what was marked 30 minutes ago
  bulkhead gc --grace-period=0s            deletes all that has ended

Pods that have exited are moved to the garbage by one call, and deleted by a later one, when they have been there for
longer than --grace-period. Made to be run from a timer; any number of calls may run at the same time.";

pub(crate) const APP: &str = "\
Examples:
  bulkhead app sandbox --uuid-file-save=/run/pod.uuid
  bulkhead app add 6733 web.aci --name=web
  bulkhead app start 6733 --app=web
  bulkhead app rm 6733 --app=web

A pod of `app sandbox` runs until it is stopped, whatever its apps do. Those of `run` keep the apps that they began with.";

pub(crate) const SANDBOX: &str = "\
Examples:
  bulkhead app sandbox                     runs in the foreground until `bulkhead stop`
  bulkhead app sandbox --memory=2Gi --cpu=2 --hostname=box --uuid-file-save=/run/pod.uuid";

pub(crate) const ADD: &str = "\
Examples:
  bulkhead app add 6733 web.aci            the app has the image's name; `app start` runs it
  bulkhead app add 6733 db.aci --name=db --memory=256Mi -- --port 5433";

pub(crate) const START: &str = "\
Examples:
  bulkhead app start 6733 --app=web        for the first time, or again after its end";

pub(crate) const STOP_APP: &str = "\
Examples:
  bulkhead app stop 6733 --app=web         its files and the pod's other apps stay as they are";

pub(crate) const RM_APP: &str = "\
Examples:
  bulkhead app rm 6733 --app=web           stops it if it runs; what it wrote is lost";

pub(crate) const STATUS_APP: &str = "\
Examples:
  bulkhead app status 6733 --app=web       state, times and exit code
  bulkhead app status 6733 --app=web --format=json";

pub(crate) const LIST_APPS: &str = "\
Examples:
  bulkhead app list 6733                   a line an app: name and state";

pub(crate) const EXEC: &str = "\
Examples:
  bulkhead app exec --app=web 6733 /bin/sh

The same as enter. On a terminal, ^] three times within a second leaves it; the program hangs up.";

pub(crate) const IMAGE: &str = "\
Examples:
  bulkhead image list                      what is in the store
  bulkhead image cat-manifest redis:7      what one of it runs, and how
  bulkhead image rm redis:7 sha512-91e98d  pods that have them go on
  bulkhead image gc                        removes what no pod has and nobody used for a day
  bulkhead image verify redis:7            is it on the disk what it was?
  bulkhead image export redis:7 redis.aci  one file, for another host
  bulkhead image extract redis:7 redis     its manifest and files, to look at

An image is named by its id or the beginning of it (sha512- and two digits or more), by the name in its manifest with or
without the version, or by the name under which it was fetched.";

pub(crate) const LIST_IMAGES: &str = "\
Examples:
  bulkhead image list                      a line an image: id, name, times, bytes on the disk
  bulkhead image list --sort=size --order=desc
  bulkhead image list --fields=id,name --full --no-legend";

pub(crate) const CAT_IMAGE_MANIFEST: &str = "\
Examples:
  bulkhead image cat-manifest redis:7      as appc's JSON, also of an image of a registry
  bulkhead image cat-manifest --pretty-print=false sha512-91e98d";

pub(crate) const RM_IMAGE: &str = "\
Examples:
  bulkhead image rm redis:7                with all names that it has
  bulkhead image rm sha512-91e98d sha512-a03f

A pod has links of its own to its images: it goes on without them.";

pub(crate) const GC_IMAGES: &str = "\
Examples:
  bulkhead image gc                        what no pod has and nobody used for a day
  bulkhead image gc --grace-period=0       all that no pod has

Made for a timer, as gc is, which looks after stage1 images.";

pub(crate) const VERIFY: &str = "\
Examples:
  bulkhead image verify redis:7            reads all of it
  bulkhead image verify sha512-91e98d sha512-a03f

An image that is damaged is removed, so that the next fetch or run brings it anew. Exit status: 254 when one was.";

pub(crate) const EXPORT_IMAGE: &str = "\
Examples:
  bulkhead image export redis:7 redis.aci
  bulkhead image export --overwrite sha512-91e98d app.aci

The file is there when the image is whole, and not before. Takes root.";

pub(crate) const EXTRACT: &str = "\
Examples:
  bulkhead image extract redis:7 redis     makes redis/manifest and redis/rootfs
  bulkhead image extract --rootfs-only --overwrite redis:7 root

The directory is there when it is whole, and not before. Takes root.";

pub(crate) const RENDER: &str = "\
Examples:
  bulkhead image render redis:7 redis      makes redis/manifest and redis/rootfs
  bulkhead image render --rootfs-only redis:7 root

The same as extract: a tree in the store has all that its image depends on. Takes root.";

pub(crate) const TRUST: &str = "\
Examples:
  bulkhead trust --prefix=example.com/app key.asc     for images whose names begin so
  bulkhead trust --root key.asc                       for all images
  bulkhead trust --prefix=example.com https://example.com/key.asc
  bulkhead trust --prefix=example.com/app             the keys that pages of example.com name

The key is shown, and trusted when the answer is yes: compare the fingerprint with what its owner has told you in
another way. It is written to /etc/bulkhead/trustedkeys; removing its file there, or emptying it, takes the trust back.";

#[cfg(test)]
#[path = "examples_test.rs"]
pub(crate) mod tests;
