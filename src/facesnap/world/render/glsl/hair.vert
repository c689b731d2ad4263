// Ribbons: two vertices per point of a strand, turned towards the camera and lit.
in vec3 in_position;
in vec4 in_tangent;     // direction, side (-1 or +1)
in vec4 in_strand;      // half width in cm, brightness, openness, the strand's own shade 0..1
uniform mat4x3 u_carry; // template space -> this head
out vec3 v_colour;
out float v_side;
void main() {
    float body = smoothstep(-7.0, -16.0, in_position.y);   // what lies on the shoulders goes with them
    vec3 p = posed(u_carry * vec4(in_position, 1.0), body);
    vec3 t = posed_direction(mat3(u_carry) * in_tangent.xyz, body);
    vec3 view = u_shadow_pass ? vec3(u_shadow[0][2], u_shadow[1][2], u_shadow[2][2]) : to_camera(p);
    vec3 side = normalize(cross(t, view) + vec3(1e-4)) * in_tangent.w;
    gl_Position = clip(p + side * in_strand.x * (u_shadow_pass ? 1.8 : 1.0));
    v_side = in_tangent.w;
    if (u_shadow_pass) return;
    vec3 off = p - posed(u_carry * vec4(0.0, 5.7, -9.0, 1.0), 0.0);
    float before = dot(off, view);
    if (before < -1.0 && dot(off, off) - before * before < 42.0) gl_Position.z = 2.0 * gl_Position.w;   // behind the skull: beyond the far plane
    vec3 from_axis = in_position - vec3(0.0, min(in_position.y, 5.0), -9.0);
    vec3 n = normalize(posed_direction(from_axis, body) + 0.35 * side);
    vec3 albedo = u_hair * in_strand.y;
    v_colour = developed(hair_colour(p, t, n, albedo, in_strand.z, in_strand.w), 1.0).rgb;
}
