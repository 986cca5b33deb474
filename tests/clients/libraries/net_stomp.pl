# Net::Stomp by remote control, over TCP, in STOMP 1.0. It connects and subscribes again by itself as soon as it reads or writes.
# A RECEIPT is awaited by its user: the library's own way drops what comes before it.

use strict;
use warnings;
use IO::Select;
use JSON::PP;
use Net::Stomp;

$| = 1;
my $json  = JSON::PP->new->utf8->canonical;
my $input = IO::Select->new(\*STDIN);
my ( $stomp, $session, $last );
my $receipts = 0;

sub say_line { print $json->encode( $_[0] ), "\n" }

sub as_text { my ($octets) = @_; utf8::decode($octets); return $octets }

sub as_bytes { my ($text) = @_; utf8::encode($text); return $text }

sub texts { my ($headers) = @_; return { map { as_text($_) => as_text( $headers->{$_} ) } keys %$headers } }

sub octets { my ($headers) = @_; return map { as_bytes($_) => as_bytes( $headers->{$_} ) } keys %$headers }

# Take one frame, if one comes; returns the id of a RECEIPT.
sub take {
    my $frame = $stomp->receive_frame( { timeout => 0.02 } );
    if ( $stomp->session_id ne $session ) {
        $session = $stomp->session_id;
        say_line( { event => 'connected' } );
    }
    return '' unless $frame;
    return $frame->headers->{'receipt-id'} if $frame->command eq 'RECEIPT';
    if ( $frame->command eq 'MESSAGE' ) {
        $last = $frame;
        say_line( { event => 'message', headers => texts( $frame->headers ), body => as_text( $frame->body // '' ) } );
    }
    return '';
}

my %calls = (
    connect => sub {
        my ($args) = @_;
        my ( $host, $port ) = $args->{url} =~ m{^tcp://(.+):(\d+)};
        $stomp = Net::Stomp->new( { hostname => $host, port => $port, connect_delay => 1 } );
        $stomp->connect( { sender => $args->{user} } );
        $session = '';
    },
    subscribe => sub {
        my ($args) = @_;
        $stomp->subscribe( { octets( $args->{headers} ), destination => $args->{destination}, id => 's' } );
    },
    send => sub {
        my ($args) = @_;
        my $receipt = 'r-' . ++$receipts;
        my %headers = ( octets( $args->{headers} ), destination => $args->{destination}, receipt => $receipt );
        $stomp->send( { %headers, body => as_bytes( $args->{body} ) } );
        1 until take() eq $receipt;
    },
    ack   => sub { $stomp->ack( { frame => $last } ) },
    leave => sub { $stomp->disconnect; undef $stomp },
);

while (1) {
    if ( $input->can_read( $stomp ? 0.02 : undef ) ) {
        my $line = <STDIN> // last;
        my $call = $json->decode($line);
        $calls{ $call->{name} }->( $call->{args} );
        say_line( { id => $call->{id}, result => undef } );
    }
    take() if $stomp;
}
