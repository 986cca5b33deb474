# Ruby's gem stomp by remote control, over TCP. It connects and subscribes again by itself.

require 'json'
require 'stomp'
require 'uri'

$stdout.sync = true
$stdin.set_encoding('UTF-8')
$lock = Mutex.new

def say(line)
  $lock.synchronize { puts JSON.generate(line) }
end

def texts(headers)
  headers.to_h { |name, value| [name.to_s, value.to_s.dup.force_encoding('UTF-8')] }
end

# Tells of each connection.
class Watch < Stomp::NullLogger
  def on_connected(_)
    say({ event: 'connected' })
  end
end

client = last = nil
calls = {
  'connect' => lambda { |args|
    url = URI(args['url'])
    client = Stomp::Client.new(
      hosts: [{ host: url.host, port: url.port }],
      connect_headers: { 'accept-version' => '1.2', 'host' => url.host, 'sender' => args['user'] },
      initial_reconnect_delay: 0.2, logger: Watch.new
    )
  },
  'subscribe' => lambda { |args|
    client.subscribe(args['destination'], args['headers'].merge('id' => 's')) do |message|
      last = message
      say({ event: 'message', headers: texts(message.headers), body: message.body.dup.force_encoding('UTF-8') })
    end
  },
  'send' => lambda { |args|
    answered = Queue.new
    client.publish(args['destination'], args['body'], args['headers']) { answered << true }
    answered.pop
  },
  'ack' => ->(_) { client.acknowledge(last) },
  'leave' => ->(_) { client.close }
}

$stdin.each_line do |line|
  call = JSON.parse(line)
  calls.fetch(call['name']).call(call['args'])
  say({ id: call['id'], result: nil })
end
