# An apt of its own for the packages of one architecture: it checks signatures, and knows nothing of the sources and packages
# of the machine that it runs on. Sourced by whoever only wants to unpack.

# DIRECTORY, an absolute path, holds sources.list already, and the lists and packages from then on.
private_apt() { # directory architecture
    mkdir -p "$1/lists/partial" "$1/archives/partial" "$1/parts"
    : > "$1/status"
    cat > "$1/apt.conf" << CONF
APT::Architecture "$2";
APT::Architectures { "$2"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Dir::State "$1";
Dir::State::status "$1/status";
Dir::State::Lists "$1/lists";
Dir::Cache "$1";
Dir::Etc "$1";
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "$1/parts";
Dir::Etc::parts "$1/parts";
Dir::Etc::preferencesparts "$1/parts";
CONF
    export APT_CONFIG="$1/apt.conf"
}
